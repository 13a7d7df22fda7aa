"""How much strangers can have a server write: lines and bytes for so many hostile commands, in virtual time.

Each attack wrote as much as it liked before: 360 kB for a `play`, a line for each garbage connection.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import frozen
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.server.log_repeats import BURST_SECONDS, REPEATED, LogRepeats
from mmids_trio.server.logs import FILE_NAME, Logging, configure
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from tests.support.rtmp import PLAIN_HANDSHAKE, command, connect

LIVE = "workflow w {\nrtmp_receive rtmp_app=live stream_key=*\nrtmp_watch rtmp_app=live stream_key=*\n}\n"
CONNECTED = PLAIN_HANDSHAKE + connect() + command("createStream", 2, None)
RATE = 5
BURST = RATE * BURST_SECONDS
ATTACKER = "203.0.113.9"
LONGEST_LINE = 4096
"""Bytes of a line in the file; what a client chose is a small part of it."""


@frozen
class Log:
    """What a server writes."""

    directory: Path
    console: StringIO
    bounds: Logging

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        text = (self.directory / FILE_NAME).read_text()
        lines = [json.loads(line) for line in text.splitlines()]
        return [line for line in lines if event is None or line["event"] == event]

    def assert_bounded(self, events: int) -> None:
        """So many kinds of lines, each with a burst; nobody was waited for, so the rate added nothing."""
        self.bounds.repeats.tell()
        raw = (self.directory / FILE_NAME).read_bytes().splitlines()
        of_attacker = [line for line in raw if ATTACKER.encode() in line]
        assert len(of_attacker) <= events * (BURST + 1)
        assert max(map(len, raw)) <= LONGEST_LINE
        assert len(self.console.getvalue()) <= len(raw) * LONGEST_LINE


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    console = StringIO()
    bounds = Logging(repeats=LogRepeats(RATE, clock=lambda: 0.0))
    with configure(level=logging.INFO, directory=tmp_path, console=console, bounds=bounds):
        yield Log(tmp_path, console, bounds)


async def attack(h: Harness, data: bytes) -> None:
    """One connection that says `data` and goes."""
    transport = await h.open(peer_host=ATTACKER)
    with suppress(trio.BrokenResourceError):
        await transport.send_all(data)
    await wait_all_tasks_blocked()
    transport.close()


async def play_again_and_again(h: Harness, key: str, times: int) -> None:
    """One connection that plays a key, stops, and plays it again, reading what it is told."""
    transport = await h.open(peer_host=ATTACKER)

    async def read() -> None:
        while await transport.receive_some(1_000_000):
            pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await transport.send_all(CONNECTED)
        for _ in range(times):
            for said in (command("play", 3, None, key, stream=1), command("closeStream", 4, None, stream=1)):
                await transport.send_all(said)
                await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    transport.close()


@pytest.mark.thorough
@pytest.mark.parametrize("letter", ["x", "\x01", "ü", "\U0001f3a5"])
async def test_playing_keys_of_60_kilobytes_in_a_loop_writes_little(
    log: Log, letter: str, autojump_clock: MockClock
) -> None:
    key = letter * (60_000 // len(letter.encode()))
    async with Harness(LIVE) as h:
        for _ in range(4):
            await play_again_and_again(h, key, 30)
    log.assert_bounded(events=3)
    joined = log.lines("watcher joined")
    assert len(joined) == BURST
    assert {line["stream"].rpartition("…")[2] for line in joined} == {f" ({len(key)})"}
    [told] = [line for line in log.lines(REPEATED) if line["of"] == "watcher joined"]
    assert told["left_out"] == 4 * 30 - BURST
    assert told["most"] == {ATTACKER: told["left_out"]}


@pytest.mark.thorough
async def test_garbage_connections_write_a_burst_and_are_counted(log: Log, autojump_clock: MockClock) -> None:
    async with Harness(LIVE) as h:
        for _ in range(500):
            await attack(h, b"GET / HTTP/1.1\r\n\r\n")
        assert h.server.rejections["protocol_broken"] == 500
        await (await h.open(peer_host="192.0.2.1")).send_all(b"honest but wrong")
        await wait_all_tasks_blocked()
    log.assert_bounded(events=1)
    closed = log.lines("connection closes")
    assert [line["connection"].partition(":")[0] for line in closed].count(ATTACKER) == BURST
    assert closed[-1]["connection"].startswith("192.0.2.1:")
    assert log.bounds.repeats.left_out == 500 - BURST
    assert not [line for line in log.lines() if "exception" in line]


@pytest.mark.thorough
async def test_publishers_that_connect_again_and_again_write_a_burst(log: Log, autojump_clock: MockClock) -> None:
    packets = generate_stream(seconds=1, frame_bytes=100)
    async with Harness(LIVE) as h:
        for number in range(100):
            publisher = await h.publish(f"live/{number % 4}", packets[:3], peer_host=ATTACKER)
            publisher.close()
            await wait_all_tasks_blocked()
    log.assert_bounded(events=3)
    assert len(log.lines("publisher joined")) == BURST
    # What nobody's connection is the subject of: lines of the step.
    assert len(log.lines()) <= 10 * (BURST + 1)


async def test_requests_without_the_token_write_nothing_at_info(log: Log, autojump_clock: MockClock) -> None:
    async with Harness(f"settings {{\nhttp_api_token sesame\n}}\n{LIVE}") as h:
        before = len(log.lines())
        headers = {"authorization": "Bearer guess"}
        for _ in range(200):
            assert (await h.http.put("/workflows", content="workflow x {\n}\n", headers=headers)).status == 401
        assert len(log.lines()) == before
        assert h.server.metrics.http.requests["PUT", "401"] == 200


@pytest.mark.parametrize("key", ["k6&token=sesame", "k7;token=sesame", "k9%3Ftoken=sesame", "k？token=sesame"])  # noqa: RUF001
async def test_a_mistyped_query_of_a_key_shows_its_token_to_no_log(
    log: Log, key: str, autojump_clock: MockClock
) -> None:
    async with Harness(LIVE) as h:
        await attack(h, CONNECTED + command("publish", 3, None, key, "live", stream=1))
        await attack(h, CONNECTED + command("play", 3, None, key, stream=1))
        await attack(h, CONNECTED + command("publish", 3, None, "x", "live", stream=1) * 2)
    assert len(log.lines("publisher joined")) == 2
    assert "sesame" not in (log.directory / FILE_NAME).read_text() + log.console.getvalue()


@pytest.mark.thorough
async def test_a_thousand_players_of_one_address_all_get_in(log: Log, autojump_clock: MockClock) -> None:
    async with Harness(LIVE) as h:
        for _ in range(1000):
            await (await h.open(peer_host=ATTACKER)).send_all(CONNECTED + command("play", 3, None, "k", stream=1))
        await wait_all_tasks_blocked()
        assert h.server.rtmp.connections == 1000
        assert h.server.rejections.raised() == {}
    assert len(log.lines("watcher joined")) + log.bounds.repeats.left_out >= 1000
