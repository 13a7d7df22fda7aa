"""Faults that are said in words happen as they say, and the same each time; what says none is an error."""

import pytest
import trio
from trio.testing import MockClock

from mmids_trio.testing import FakeReactorService, Harness, WrongFault, faults, valid

LIVE = "workflow w {\n rtmp_receive rtmp_app=live stream_key=*\n rtmp_watch rtmp_app=live stream_key=*\n}\n"
GUARDED = (
    "reactor r executor=scripted update_interval=10 {\n}\n"
    "workflow w {\n rtmp_receive rtmp_app=live stream_key=* reactor=r\n}\n"
)


def test_links_break_as_often_as_they_shall_and_by_the_seed() -> None:
    def drawn(seed: int) -> list[float]:
        broken = faults(links="25% reset within 10s", seed=seed)
        return [broken.link().cut_at for _ in range(1_000)]

    assert 200 < len([at for at in drawn(1) if at <= 10]) < 300
    assert drawn(1) == drawn(1) != drawn(2)


async def test_a_link_that_breaks_ends_its_client_alone(autojump_clock: MockClock) -> None:
    async with Harness(LIVE, faults=faults(links="100% reset within 5s")) as h:
        client = await h.watch("live/show")
        await client.read_until_closed()
        assert trio.current_time() <= 5


async def test_the_calendar_jumps_and_the_disk_is_full_for_a_while(autojump_clock: MockClock) -> None:
    broken = faults(clock="jump +1h at 30s, jump -10m at 60s", disk="full at 12s for 3s")
    now, free = broken.calendar(lambda: 0.0), broken.free_bytes(lambda _: 7)
    seen = []
    for at in (0, 12, 15, 30, 60):
        await trio.sleep_until(at)
        seen.append((now(), free("")))
    assert seen == [(0, 7), (0, 0), (0, 7), (3600, 7), (3000, 7)]


async def test_a_service_fails_so_often(autojump_clock: MockClock) -> None:
    service = FakeReactorService(otherwise=valid(), faults=faults(service="500 twice"))
    async with Harness(GUARDED, more_executors=[service.kind()]) as h:
        await h.publish("live/show")
    assert [call.reply.failure for call in service.calls] == ["500", "500", ""]


@pytest.mark.parametrize(
    ("kind", "text"),
    [("links", "5 reset"), ("clock", "jump 1h at 30s"), ("disk", "full"), ("service", "500 thrice"), ("disk", ",")],
)
def test_what_says_no_fault_is_an_error_with_an_example(kind: str, text: str) -> None:
    with pytest.raises(WrongFault, match=f"{kind}=.* for example: "):
        faults(**{kind: text})  # type: ignore[arg-type]  # the seed is a number
