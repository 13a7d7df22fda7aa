"""`failover` in a whole server: which source watchers see, how operators switch, and what a change does to it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.errors import ConfigurationError
from mmids_trio.media.events import MediaEvent, MediaKind, MediaPacket, StreamEnded, StreamStarted
from mmids_trio.testing.clients import RtmpClient
from mmids_trio.testing.ffmpeg import FakeFfmpeg
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.network import MemoryNetwork
from mmids_trio.testing.recorder import Recorder
from mmids_trio.workflow.events import StreamSwitched
from mmids_trio.workflow.status import OutcomeKind, Switched

EXAMPLE = Path(__file__).parents[2] / "examples" / "never_go_dark.mmids"
MAIN, SPARE = (generate_stream(seconds=30, seed=seed, gop=25) for seed in (1, 2))
RECEIVE = "rtmp_receive rtmp_app=live stream_key=*"
FAILOVER = "failover primary=main backup=spare output=show after=1"
WATCH = "rtmp_watch rtmp_app=out stream_key=*"


def workflow(*steps: str, name: str = "w") -> str:
    return f"workflow {name} {{\n" + "\n".join(steps) + "\n}\n"


def harness(recorder: Recorder, failover: str = FAILOVER) -> Harness:
    return Harness(workflow(RECEIVE, failover, WATCH, "record"), [recorder.step_type()])


@asynccontextmanager
async def playing(client: RtmpClient, packets: Sequence[MediaPacket]) -> AsyncIterator[trio.CancelScope]:
    """Packets are sent when they are due, as long as the block runs or until the scope is cancelled."""

    async def send() -> None:
        began = trio.current_time()
        with scope:
            for packet in packets:
                await trio.sleep_until(began + packet.timestamp / 1000)
                await client.send([packet])

    scope = trio.CancelScope()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        yield scope
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def watching(h: Harness, key: str = "show") -> AsyncIterator[RtmpClient]:
    client = await h.watch(f"out/{key}")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.read_until_closed)
        yield client
        assert not client.is_disconnected
        nursery.cancel_scope.cancel()


def frames(packets: Sequence[MediaEvent]) -> list[MediaPacket]:
    return [packet for packet in packets if isinstance(packet, MediaPacket) and not packet.is_sequence_header]


def origins(packets: Sequence[MediaEvent]) -> str:
    """From where frames come: one letter, M or S, for a row of the same."""
    letters = {packet.data: letter for letter, of in (("M", MAIN), ("S", SPARE)) for packet in of}
    found = [letters[frame.data] for frame in frames(packets)]
    return "".join(letter for place, letter in enumerate(found) if found[place - 1 : place] != [letter])


def assert_switches_at_key_frames(packets: Sequence[MediaEvent], longest: float) -> None:
    main = {packet.data for packet in MAIN}
    video = [frame for frame in frames(packets) if frame.kind is MediaKind.VIDEO]
    for before, frame in pairwise(video):
        assert frame.is_key_frame or (before.data in main) == (frame.data in main)
        assert 0 <= frame.timestamp - before.timestamp <= longest * 1000


def step_id(h: Harness) -> str:
    return h.workflow("w").active_steps[1].step_id


def boundaries(events: Sequence[MediaEvent]) -> list[str]:
    found = [event for event in events if isinstance(event, (StreamStarted, StreamEnded))]
    return [event.stream_name if isinstance(event, StreamStarted) else "ended" for event in found]


@pytest.mark.thorough
async def test_a_backup_is_sent_while_the_primary_is_away_and_nobody_is_cut(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with harness(recorder) as h, watching(h) as watcher:
        main, spare = await h.publish("main"), await h.publish("spare")
        async with playing(main, MAIN) as main_plays:
            await trio.sleep(0.1)
            async with playing(spare, SPARE):
                await trio.sleep(4.4)
                main_plays.cancel()
                assert origins(recorder.packets) == "M"
                await trio.sleep(2.2)
                assert origins(recorder.packets) == "MS"
                main.close()
                await trio.sleep(3)
                async with playing(await h.publish("main"), MAIN):
                    await trio.sleep(0.9)
                    assert origins(recorder.packets) == "MS"
                    await trio.sleep(2)
                    assert origins(recorder.packets) == origins(watcher.packets) == "MSM"
        assert_switches_at_key_frames(recorder.packets, 1 + 1 + 0.05)
        assert boundaries(recorder.events) == ["show"]
        switches = [(e.source_before, e.source, e.reason) for e in h.events() if isinstance(e, StreamSwitched)]
        assert switches == [
            (None, "main", "nothing was sent"),
            ("main", "spare", "'main' sends nothing"),
            ("spare", "main", "'main' is back"),
        ]
    h.assert_quiet()


async def test_the_stream_ends_with_its_last_source_and_another_may_follow(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with harness(recorder) as h, watching(h):
        main, spare = await h.publish("main", MAIN[:60]), await h.publish("spare", SPARE[:60])
        await wait_all_tasks_blocked()
        await main.unpublish()
        await wait_all_tasks_blocked()
        await spare.send(SPARE[60:200])
        await wait_all_tasks_blocked()
        assert origins(recorder.packets) == "MS"
        await spare.unpublish()
        await wait_all_tasks_blocked()
        assert boundaries(recorder.events) == ["show", "ended"]
        await h.publish("spare", SPARE[:60])
        await wait_all_tasks_blocked()
        assert boundaries(recorder.events) == ["show", "ended", "show"]


@pytest.mark.thorough
async def test_with_manual_revert_the_primary_has_to_be_asked_for(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with harness(recorder, f"{FAILOVER} revert=manual") as h:
        spare, main = await h.publish("spare"), await h.publish("main")
        async with playing(spare, SPARE):
            await trio.sleep(1)
            async with playing(main, MAIN):
                await trio.sleep(5)
                assert origins(recorder.packets) == "S"
                assert h.server.workflows.switch("w", step_id(h), "main") == Switched("spare", "main")
                await trio.sleep(1.1)
                assert origins(recorder.packets) == "SM"


async def test_streams_that_are_no_sources_end_here(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with harness(recorder) as h:
        await h.publish("other", MAIN[:100])
        await h.publish("main", MAIN[:100])
        await wait_all_tasks_blocked()
        assert boundaries(recorder.events) == ["show"]
        assert {packet.stream_id for packet in recorder.packets} == {recorder.events[0].stream_id}


async def test_a_failover_that_comes_later_ends_what_is_no_source(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with Harness(workflow(RECEIVE, WATCH, "record"), [recorder.step_type()]) as h:
        await h.publish("other", MAIN[:100])
        await wait_all_tasks_blocked()
        assert (await h.put(workflow(RECEIVE, FAILOVER, WATCH, "record"))).kind is OutcomeKind.APPLIED
        await wait_all_tasks_blocked()
        assert boundaries(recorder.events) == ["other", "ended"]


async def test_streams_that_are_no_sources_pass_where_that_is_asked_for(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with harness(recorder, FAILOVER + " pass_others=true") as h, watching(h, "other") as watcher:
        await h.publish("other", MAIN[:100])
        await wait_all_tasks_blocked()
        assert [packet.data for packet in watcher.packets] == [packet.data for packet in MAIN[:100]]
        assert boundaries(recorder.events) == ["other"]
        assert h.workflow("w").active_steps[1].streams == ()


@pytest.mark.thorough
async def test_a_stranger_cannot_take_the_shows_place_at_the_platform(autojump_clock: MockClock) -> None:
    """The example of docs/never-go-dark.md, and the key of the line that the server prints at its start."""
    text = EXAMPLE.read_text("utf-8").replace("http_api_port 9011", "grace_after 0")
    async with Harness(text, [], MemoryNetwork(), FakeFfmpeg()) as h:
        viewer = await h.watch("platform/show", port=1936)
        stranger = await h.publish("studio/test", SPARE[:50])
        await trio.sleep(1)
        assert h.server.rtmp.connections == 2
        main = await h.publish("studio/main")
        async with playing(main, MAIN), trio.open_nursery() as nursery:
            nursery.start_soon(viewer.read_until_closed)
            await trio.sleep(5)
            assert origins(viewer.packets) == "M"
            assert not stranger.is_disconnected
            nursery.cancel_scope.cancel()


@pytest.mark.thorough
async def test_sources_come_from_other_workflows(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    text = "".join(
        workflow(
            f"rtmp_receive rtmp_app={name} stream_key={name}",
            "workflow_forwarder target_workflow=w",
            name=f"from-{name}",
        )
        for name in ("main", "spare")
    )
    text += workflow(FAILOVER, WATCH, "record")
    async with Harness(text, [recorder.step_type()]) as h, watching(h) as watcher:
        main, spare = await h.publish("main/main"), await h.publish("spare/spare")
        async with playing(main, MAIN) as main_plays:
            await trio.sleep(0.1)
            async with playing(spare, SPARE):
                await trio.sleep(3.5)
                main_plays.cancel()
                await h.stop("from-main")
                await trio.sleep(1.5)
                assert origins(recorder.packets) == origins(watcher.packets) == "MS"
                await h.put(
                    workflow(
                        "rtmp_receive rtmp_app=main stream_key=main",
                        "workflow_forwarder target_workflow=w",
                        name="from-main",
                    )
                )
                async with playing(await h.publish("main/main"), MAIN):
                    await trio.sleep(3)
        assert origins(watcher.packets) == "MSM"
        assert boundaries(recorder.events) == ["show"]
    h.assert_quiet()


@pytest.mark.thorough
async def test_it_is_put_into_a_running_workflow_and_taken_out_again(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    plain = workflow(RECEIVE, WATCH, "record")
    async with Harness(plain, [recorder.step_type()]) as h, watching(h) as show, watching(h, "main") as own:
        main = await h.publish("main")
        async with playing(main, MAIN):
            await trio.sleep(2.5)
            assert boundaries(recorder.events) == ["main"]
            await h.put(workflow(RECEIVE, FAILOVER, WATCH, "record"))
            await trio.sleep(2.5)
            assert sorted(boundaries(recorder.events)) == ["ended", "main", "show"]
            assert origins(show.packets) == "M"
            seen = len(own.packets)
            await h.put(plain)
            await trio.sleep(2.5)
            assert boundaries(recorder.events)[-2:] in (["ended", "main"], ["main", "ended"])
            assert len(own.packets) > seen
    h.assert_quiet()


@pytest.mark.thorough
async def test_a_change_that_keeps_it_is_not_noticed(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with harness(recorder) as h, watching(h) as watcher:
        main = await h.publish("main")
        async with playing(main, MAIN):
            await trio.sleep(2.5)
            await h.put(workflow(RECEIVE, FAILOVER, WATCH, "rtmp_watch rtmp_app=more stream_key=*", "record"))
            await trio.sleep(2.5)
        sent = [packet.data for packet in MAIN]
        assert [packet.data for packet in watcher.packets] == sent[: len(watcher.packets)]
        assert boundaries(recorder.events) == ["show"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("failover primary=a backup=a output=x after=1", "'primary' is among the names of 'backup'"),
        ("failover primary=a backup=b,b output=x after=1", "different names"),
        ("failover primary=a backup=b, output=x after=1", "different names"),
        ("failover primary=a backup=1,2,3,4,5,6,7,8,9 output=x after=1", "up to 8"),
        ("failover primary=a backup=b output=x after=1 revert=never", "revert"),
    ],
)
async def test_parameters_are_checked(line: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Harness(workflow(line))


@pytest.mark.thorough
async def test_the_http_api_switches(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with harness(recorder) as h:
        path = f"/workflows/w/steps/{step_id(h)}/switch"
        answer = await h.http.post(path, params={"to": "spare"})
        assert (answer.status, answer.json()) == (409, {"error": "there is no source at present"})
        main, spare = await h.publish("main"), await h.publish("spare")
        async with playing(main, MAIN):
            await trio.sleep(0.1)
            async with playing(spare, SPARE):
                await trio.sleep(1.5)
                json = {"content-type": "application/json"}
                answer = await h.http.post(path, content='{"to": "spare"}', headers=json)
                assert (answer.status, answer.json()) == (200, {"sending": "main", "wanted": "spare"})
                await trio.sleep(5)
                assert origins(recorder.packets) == "MS", "what was asked for stays, although main is well"
                assert (await h.http.post(path, params={"to": "main"})).json() == {"sending": "spare", "wanted": "main"}
                await trio.sleep(1.1)
                assert (await h.http.post(path, params={"to": "main"})).json() == {"sending": "main", "wanted": None}


@pytest.mark.parametrize(
    ("path", "to", "status", "message"),
    [
        ("/workflows/nobody/steps/{id}/switch", "spare", 404, "there is no workflow 'nobody'"),
        ("/workflows/w/steps/17/switch", "spare", 404, "no step with the id '17'"),
        ("/workflows/w/steps/{id}/switch", "nobody", 409, "there is no source 'nobody'; there are main, spare"),
        ("/workflows/w/steps/{id}/switch", "spare", 409, "source 'spare' sends nothing at present"),
        ("/workflows/w/steps/{first}/switch", "spare", 409, "a rtmp_receive step has no sources to switch between"),
        ("/workflows/w/steps/{id}/switch", "", 400, "not exactly one name"),
    ],
)
async def test_a_switch_that_cannot_be_says_why(
    path: str, to: str, status: int, message: str, autojump_clock: MockClock
) -> None:
    async with harness(Recorder()) as h:
        await h.publish("main", MAIN[:60])
        await wait_all_tasks_blocked()
        path = path.format(id=step_id(h), first=h.workflow("w").active_steps[0].step_id)
        answer = await h.http.post(path, params={"to": to})
        assert answer.status == status
        assert message in answer.json()["error"]
