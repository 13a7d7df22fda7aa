"""Tokens and a web service that decide about publishers and players that are not ours, over RTMP and over HTTP."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from attrs import define, field, frozen

from tests.support.ffmpeg import Crew, Recording, place_of
from tests.support.program import Launch, Program, curl

pytestmark = pytest.mark.e2e

SECRET = "0123456789abcdef0123456789abcdef"
WAYS = ("rtmp", "flv", "hls")
FRAMES = 20


@define
class Service(ThreadingHTTPServer):
    """What is asked about clients; `answers` are statuses by action and key, 200 where there is none.

    A status of 0 closes the connection without an answer.
    """

    answers: dict[tuple[str, str], int] = field(factory=dict)
    max_age: int = 0
    asked: list[dict[str, Any]] = field(factory=list)
    daemon_threads = True

    def __attrs_post_init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Asked)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}/mmids"

    def count(self, action: str, protocol: str | None = None) -> int:
        """How often it was asked about that."""
        return sum(each["action"] == action and protocol in (None, each["protocol"]) for each in self.asked)


class Asked(BaseHTTPRequestHandler):
    """One question."""

    server: Service

    def do_POST(self) -> None:
        """See `Service`."""
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(question)
        status = self.server.answers.get((question["action"], question["key"]), 200)
        if status:
            self.send_response(status)
            self.send_header("Cache-Control", f"max-age={self.server.max_age}")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, format: str, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[Service]:
    server = Service()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@frozen
class Door:
    """Starts servers whose viewers over HTTP come to one port."""

    launch: Launch
    port: int

    async def open(self, settings: str) -> Program:
        """With these settings."""
        return await self.launch(workflow(self.port), settings=settings)


@pytest.fixture
def door(launch: Launch, free_port: int) -> Door:
    return Door(launch, free_port)


def workflow(port: int) -> str:
    return (
        "workflow live {\n    rtmp_receive rtmp_app=live stream_key=* port=0\n"
        "    rtmp_watch rtmp_app=live stream_key=* port=0\n"
        f"    http_watch app=live stream_key=* port={port} segment=1s\n}}\n"
    )


def signed(action: str, key: str = "sh*", seconds: int = 600, secret: str = SECRET) -> str:
    return jwt.encode({"action": action, "key": key, "exp": int(time.time()) + seconds}, secret, algorithm="HS256")


def place(program: Program, way: str, port: int, query: str = "", key: str = "show") -> str:
    """Where one plays it that way."""
    if way == "rtmp":
        return program.url(key + query)
    name = f"{key}.flv" if way == "flv" else f"{key}/index.m3u8"
    return f"http://127.0.0.1:{port}/live/{name}{query}"


async def assert_plays(crew: Crew, url: str, show: Recording) -> None:
    player = await crew.play(url)
    await player.gets(FRAMES)
    place_of(player.packets.video, show.packets.video)


async def assert_is_refused(crew: Crew, url: str) -> None:
    """Also by the status that a client of HTTP sees."""
    assert await (await crew.play(url)).child.end() != 0
    if url.startswith("http"):
        assert (await curl(url)).status == 403


async def test_who_has_a_token_that_is_good_for_it_publishes_and_plays(door: Door, crew: Crew, show: Recording) -> None:
    program = await door.open(f"auth_jwt_key {SECRET}")
    other = SECRET[::-1]
    bad = [signed("watch"), signed("publish", "other"), signed("publish", seconds=-5), signed("publish", secret=other)]
    for query in ("", *(f"?jwt={token}" for token in bad)):
        assert await (await crew.publish(show, program.url(f"show{query}"))).end() != 0
    good = signed("publish")
    await crew.publish(show, program.url(f"show?jwt={good}"))
    await program.logged("publisher joined")
    ticket = signed("watch")
    for way in WAYS:
        await assert_is_refused(crew, place(program, way, door.port, f"?jwt={good}"))
        await assert_plays(crew, place(program, way, door.port, f"?jwt={ticket}"), show)
    logged = program.child.err.text + str(program.log_file())
    for token in (*bad, good, ticket):
        assert token not in logged
        assert token.rpartition(".")[2] not in logged


async def test_a_service_lets_in_and_refuses(door: Door, crew: Crew, show: Recording, service: Service) -> None:
    service.answers["publish", "bad"] = 403
    program = await door.open(f"auth_url {service.url}")
    assert await (await crew.publish(show, program.url("bad"))).end() != 0
    await crew.publish(show, program.url("show?user=anna"))
    await program.logged("publisher joined")
    asked = service.asked[-1]
    assert (asked["action"], asked["protocol"], asked["app"], asked["key"]) == ("publish", "rtmp", "live", "show")
    assert (asked["address"], asked["query"]) == ("127.0.0.1", "user=anna")
    assert asked["agent"]
    for way in WAYS:
        await assert_plays(crew, place(program, way, door.port), show)
    service.answers["watch", "show"] = 403
    for way in WAYS:
        await assert_is_refused(crew, place(program, way, door.port))
    assert {each["protocol"] for each in service.asked if each["action"] == "watch"} == {"rtmp", "http"}


async def test_an_answer_counts_for_as_long_as_it_says(
    door: Door, crew: Crew, show: Recording, service: Service
) -> None:
    program = await door.open(f"auth_url {service.url}")
    service.max_age = 600
    await crew.publish(show, program.url())
    await program.logged("publisher joined")
    for way in ("rtmp", "flv"):
        url = place(program, way, door.port)
        await assert_plays(crew, url, show)
        asked = len(service.asked)
        service.answers["watch", "show"] = 403  # which nobody asks for any more
        await assert_plays(crew, url, show)
        assert len(service.asked) == asked
        service.answers.clear()
    assert service.count("publish") == 1


FAILURES = [(failure, kind) for failure in ("status 500", "no answer", "nobody there") for kind in ("deny", "allow")]


@pytest.mark.parametrize("failing", FAILURES, ids=", ".join)
async def test_a_service_that_fails_lets_in_nobody_unless_it_is_told_to(
    failing: tuple[str, str], door: Door, crew: Crew, show: Recording, service: Service
) -> None:
    failure, on_failure = failing
    status = 500 if failure == "status 500" else 0
    service.answers |= {(action, "show"): status for action in ("publish", "watch")}
    url = "http://127.0.0.1:9/" if failure == "nobody there" else service.url
    settings = f"auth_url {url}\n    auth_on_failure {on_failure}"
    program = await door.open(settings)
    publisher = await crew.publish(show, program.url())
    if on_failure == "deny":
        assert await publisher.end() != 0
        for way in ("rtmp", "flv"):
            await assert_is_refused(crew, place(program, way, door.port))
    else:
        await program.logged("publisher joined")
        for way in WAYS:
            await assert_plays(crew, place(program, way, door.port), show)
