"""JWT and `auth_url` in front of real sessions: their order, what is kept, what fails, and how much one may ask."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import httpx2
import jwt
import pytest
import trio
from attrs import define, field
from trio.testing import MockClock

from mmids_trio.guards import guards as subject
from mmids_trio.guards.web_service import MAX_BODY, SECONDS
from mmids_trio.reactors.line import MAX_AT_ONCE_OF_ADDRESS
from mmids_trio.testing import ClientRefused, Harness
from tests.guards.test_claims import EC, GOOD, NOW, RSA, SECRET, public, signed

STEPS = """workflow show {
    rtmp_receive rtmp_app=live stream_key=*PUBLISH
    rtmp_watch rtmp_app=live stream_key=*WATCH
}
"""
SETTINGS = "settings {{\n    {}\n}}\n"
URL = "http://auth.test/mmids"
JWKS = "http://keys.test/jwks"

Respond = Callable[[httpx2.Request], httpx2.Response]


def yes(_request: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(200)


class Body(httpx2.AsyncByteStream):
    """As it comes over a network."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content


@define
class Service:
    """A web service; `respond` may be changed."""

    respond: Respond = yes
    asked: list[dict[str, Any]] = field(factory=list)
    looks: int = 0
    at_once: int = 0
    most_at_once: int = 0
    takes: float = 0

    async def answer(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            assert request.headers["content-type"] == "application/json"
            self.asked.append(json.loads(request.content))
        else:
            self.looks += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await trio.sleep(self.takes)
            made = self.respond(request)
            return httpx2.Response(made.status_code, headers=made.headers, stream=Body(made.content))
        finally:
            self.at_once -= 1


def harness(service: Service, settings: str, *, publish: str = "", watch: str = "") -> Harness:
    steps = STEPS.replace("PUBLISH", publish).replace("WATCH", watch)
    made = Harness(SETTINGS.format(settings.replace("\n", "\n    ")) + steps, now=lambda: NOW)
    made.server.guards.web.transport = httpx2.MockTransport(service.answer)
    return made


def raised(h: Harness) -> Mapping[str, int]:
    return h.server.rejections.raised()


async def test_a_service_is_asked_with_all_that_is_known_and_decides(autojump_clock: MockClock) -> None:
    service = Service(lambda request: httpx2.Response(403 if b'"bad' in request.content else 200))
    async with harness(service, f"auth_url {URL}") as h:
        await h.publish("live/talk?user=anna")
        await h.watch("live/talk")
        with pytest.raises(ClientRefused):
            await h.publish("live/bad")
        assert [(each["action"], each["key"], each["query"]) for each in service.asked] == [
            ("publish", "talk", "user=anna"),
            ("watch", "talk", ""),
            ("publish", "bad", ""),
        ]
        assert set(service.asked[0]) == {"action", "protocol", "address", "app", "key", "query", "agent"}
        assert (service.asked[0]["protocol"], service.asked[0]["app"]) == ("rtmp", "live")
        assert raised(h) == {"auth_url_refused": 1}


async def test_a_step_may_have_a_service_of_its_own(autojump_clock: MockClock) -> None:
    hosts: list[str] = []

    def respond(request: httpx2.Request) -> httpx2.Response:
        hosts.append(request.url.host)
        return httpx2.Response(200)

    async with harness(Service(respond), f"auth_url {URL}", watch=" auth_url=http://own.test/") as h:
        await h.publish("live/talk")
        await h.watch("live/talk")
    assert hosts == ["auth.test", "own.test"]


@pytest.mark.parametrize(
    ("control", "status", "asked"),
    [
        ("max-age=60", 200, 1),
        ("private, max-age=60", 200, 1),
        ("max-age=0", 200, 3),
        ("no-store, max-age=60", 200, 3),
        ("", 200, 3),
        ("max-age=60", 403, 1),
    ],
)
async def test_an_answer_is_kept_as_long_as_it_says(
    control: str, status: int, asked: int, autojump_clock: MockClock
) -> None:
    service = Service(lambda _: httpx2.Response(status, headers={"Cache-Control": control}))
    async with harness(service, f"auth_url {URL}") as h:
        for _ in range(3):
            if status == 200:
                await h.watch("live/talk")
            else:
                with pytest.raises(ClientRefused):
                    await h.watch("live/talk")
        assert len(service.asked) == asked
        await trio.sleep(61)
        if asked == 1 and status == 200:
            await h.watch("live/talk")
            assert len(service.asked) == 2


async def test_an_answer_counts_for_the_very_same_question_alone(autojump_clock: MockClock) -> None:
    service = Service(lambda _: httpx2.Response(200, headers={"Cache-Control": "max-age=60"}))
    async with harness(service, f"auth_url {URL}") as h:
        for address in ("live/talk", "live/talk?a=1", "live/other"):
            await h.watch(address)
        await h.publish("live/talk")
    assert len(service.asked) == 4


async def test_so_many_answers_are_kept_at_most(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "MOST_KEPT", 2)
    service = Service(lambda _: httpx2.Response(200, headers={"Cache-Control": "max-age=60"}))
    async with harness(service, f"auth_url {URL}") as h:
        for key in ("a", "b", "c", "b", "c", "a"):
            await h.watch(f"live/{key}")
    assert [each["key"] for each in service.asked] == ["a", "b", "c", "a"]


def broken(_request: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectError("nobody is there")


FAILURES: Mapping[str, Service] = {
    "500": Service(lambda _: httpx2.Response(500)),
    "204": Service(lambda _: httpx2.Response(204)),
    "401": Service(lambda _: httpx2.Response(401)),
    "redirect": Service(lambda _: httpx2.Response(302, headers={"Location": URL})),
    "nobody": Service(broken),
    "too late": Service(takes=SECONDS + 1),
    "endless": Service(lambda _: httpx2.Response(200, content=b"x" * (MAX_BODY + 1))),
}


@pytest.mark.parametrize("service", FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("rule", ["", "\nauth_on_failure deny", "\nauth_on_failure allow"])
async def test_a_service_that_fails_denies_unless_the_setting_allows(
    service: Service, rule: str, autojump_clock: MockClock
) -> None:
    async with harness(service, f"auth_url {URL}{rule}") as h:
        if rule.endswith("allow"):
            await h.publish("live/talk")
            assert raised(h) == {}
        else:
            with pytest.raises(ClientRefused) as caught:
                await h.publish("live/talk")
            assert "auth.test" not in str(caught.value)
            assert raised(h) == {"auth_url_failed": 1}


@pytest.mark.thorough
async def test_one_address_asks_so_much_at_once_and_no_more(autojump_clock: MockClock) -> None:
    service = Service(takes=1)
    async with harness(service, f"auth_url {URL}") as h, trio.open_nursery() as nursery:
        for number in range(MAX_AT_ONCE_OF_ADDRESS + 20):
            nursery.start_soon(h.watch, f"live/k{number}")
    assert service.most_at_once == MAX_AT_ONCE_OF_ADDRESS


async def test_the_secret_of_the_step_comes_first_and_is_not_shown_to_the_service(autojump_clock: MockClock) -> None:
    service = Service()
    async with harness(service, f"auth_url {URL}", publish=" publish_token=s3cret") as h:
        with pytest.raises(ClientRefused):
            await h.publish("live/talk?token=wrong")
        assert service.asked == []
        await h.publish("live/talk?token=s3cret&user=anna")
        assert service.asked[0]["query"] == "user=anna"
        assert raised(h) == {"publish_token_wrong": 1}


async def test_a_token_comes_before_the_service_and_whether_a_key_is_busy_last(autojump_clock: MockClock) -> None:
    service = Service()
    async with harness(service, f"auth_url {URL}\nauth_jwt_key {SECRET}") as h:
        good = signed({**GOOD, "action": ["publish", "watch"]})
        await h.publish(f"live/cam-1?jwt={good}&user=anna")
        assert [each["query"] for each in service.asked] == ["user=anna"]
        for query in ("", "?jwt=", f"?jwt={signed({**GOOD, 'exp': NOW - 60})}"):
            with pytest.raises(ClientRefused) as caught:
                await h.publish(f"live/cam-1{query}")
            assert "busy" not in str(caught.value)
        assert len(service.asked) == 1
        with pytest.raises(ClientRefused, match=r"(?i)already|busy|published"):
            await h.publish(f"live/cam-1?jwt={good}")
        assert len(service.asked) == 2
        await h.watch(f"live/cam-1?jwt={good}")
        with pytest.raises(ClientRefused):
            await h.watch(f"live/other?jwt={good}")
        assert raised(h)["jwt_refused"] == 4


async def test_public_keys_are_looked_up_once_and_again_for_one_that_is_new(autojump_clock: MockClock) -> None:
    keys = [public(RSA, "RS256")]
    service = Service(lambda _: httpx2.Response(200, json={"keys": keys}))
    async with harness(service, f"auth_jwks_url {JWKS}") as h:
        for key in ("cam-1", "cam-2"):
            await h.publish(f"live/{key}?jwt={signed(key=RSA, algorithm='RS256', kid='RS256')}")
        assert service.looks == 1
        keys.append(public(EC, "ES256"))
        newer = signed(key=EC, algorithm="ES256", kid="ES256")
        for _ in range(5):
            with pytest.raises(ClientRefused):  # whoever names a key that is not known does not make it look each time
                await h.publish(f"live/cam-3?jwt={newer}")
        assert service.looks == 1
        await trio.sleep(subject.KEYS_AGAIN_SECONDS)
        await h.publish(f"live/cam-3?jwt={newer}")
        assert service.looks == 2


async def test_keys_of_before_count_on_while_their_server_is_away(autojump_clock: MockClock) -> None:
    service = Service(lambda _: httpx2.Response(200, json={"keys": [public(RSA, "RS256")]}))
    async with harness(service, f"auth_jwks_url {JWKS}\nauth_on_failure allow") as h:
        token = signed(key=RSA, algorithm="RS256", kid="RS256")
        await h.publish(f"live/cam-1?jwt={token}")
        service.respond = broken
        await trio.sleep(subject.KEYS_SECONDS)
        await h.publish(f"live/cam-2?jwt={token}")
        assert service.looks == 2


async def test_without_keys_nobody_gets_in_whatever_the_setting_says_of_failures(autojump_clock: MockClock) -> None:
    async with harness(Service(broken), f"auth_jwks_url {JWKS}\nauth_on_failure allow") as h:
        with pytest.raises(ClientRefused):
            await h.publish(f"live/cam-1?jwt={signed(key=RSA, algorithm='RS256', kid='RS256')}")
        with pytest.raises(ClientRefused):
            await h.publish(f"live/cam-1?jwt={signed()}")  # a shared secret was never set
        assert raised(h) == {"jwt_refused": 2}


async def test_no_secret_of_who_is_let_in_gets_into_events_or_lists(autojump_clock: MockClock) -> None:
    async with harness(Service(), f"auth_jwt_key {SECRET}") as h:
        token = signed()
        await h.publish(f"live/cam-1?jwt={token}")
        shown = (await h.http.get("/streams")).text + (await h.http.get("/clients")).text + repr(h.events())
        assert token not in shown
        assert jwt.encode({}, SECRET).split(".")[0] not in shown
        assert '"token": "jwt"' in shown
