"""As many connections as there is room for, and one warning for a rush, not one for each who comes too late."""

from contextlib import ExitStack

from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.net.limits import ConnectionLimiter
from mmids_trio.testing.harness import Harness


def test_who_finds_no_room_is_turned_away_until_somebody_leaves() -> None:
    limiter = ConnectionLimiter(2)
    assert [limiter.enter() for _ in range(3)] == [True, True, False]
    limiter.leave()
    assert limiter.enter()
    assert (limiter.present, limiter.turned_away) == (2, 1)


def test_a_rush_is_one_warning() -> None:
    limiter = ConnectionLimiter(10)
    with capture_logs() as logs:
        assert sum(limiter.enter() for _ in range(30)) == 10
        limiter.leave()
        limiter.enter()
        limiter.enter()
        assert len(logs) == 1
        for _ in range(5):
            limiter.leave()
        assert sum(limiter.enter() for _ in range(30)) == 5
    assert [line["event"] for line in logs] == ["too many connections, new ones are closed at once"] * 2


async def test_a_connection_too_many_is_closed_at_once(autojump_clock: MockClock) -> None:
    async with Harness("workflow w {\n rtmp_receive rtmp_app=live stream_key=*\n}\n") as h:
        h.server.rtmp._limiter.limit = 2
        first, second, third = [await h.open() for _ in range(3)]
        assert await third.receive_some(1) == b""
        first.close()
        second.close()
        await wait_all_tasks_blocked()
        await h.publish("key")


def test_one_address_has_its_share_and_one_warning() -> None:
    limiter = ConnectionLimiter(100, limit_per_ip=2)
    with capture_logs() as logs, ExitStack() as everybody:
        hosts = ["192.0.2.1"] * 5 + ["192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1"]
        rooms = [everybody.enter_context(limiter.one_of(host)) for host in hosts]
        assert rooms == [True, True, False, False, False, True, True, True, False, True]
    assert [line["ip"] for line in logs] == ["192.0.2.1", "2001:db8::/64"]
    with limiter.one_of("192.0.2.1") as has_room:
        assert has_room


def test_nothing_is_remembered_of_addresses_that_have_left() -> None:
    limiter = ConnectionLimiter(100, limit_per_ip=1)
    for number in range(50):
        with limiter.one_of(f"192.0.2.{number}"), limiter.one_of(f"192.0.2.{number}"):
            pass
    assert (limiter._of_source, limiter._warned_of) == ({}, set())
