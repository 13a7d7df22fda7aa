"""The kit has teeth: each of these bugs, planted in a running server, is found and named, and without one nothing is.

All are planted in the same scenario: a reactor, a child, a watcher, and a change of the workflow in mid-stream.
"""

import contextlib
from collections.abc import Callable, Sequence

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.ffmpeg.child import Child
from mmids_trio.media.events import MediaEvent, MediaPacket
from mmids_trio.reactors.lease import Hold
from mmids_trio.rtmp.server.endpoints import Client, Endpoint
from mmids_trio.rtmp.server.registrations import Registrations
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.processes import FakeProcess
from mmids_trio.testing.reactors import FakeReactorService
from mmids_trio.testing.recorder import Recorder
from mmids_trio.workflow.events import HubEvent, StreamWentOff
from mmids_trio.workflow.hub import EventHub
from mmids_trio.workflow.links import ChannelInbox, Outlet
from mmids_trio.workflow.manager import WorkflowManager

PACKETS = generate_stream(seconds=4)
REACTOR = "reactor r executor=scripted {\n}\n"
RECEIVE = "rtmp_receive rtmp_app=live stream_key=* reactor=r"
STEPS = "rtmp_watch rtmp_app=live stream_key=*\n    ffmpeg_push target=rtmp://example.org/live/x"

Plant = Callable[[pytest.MonkeyPatch], None]


def workflow(*steps: str) -> str:
    return "workflow w {\n    " + "\n    ".join(steps) + "\n}\n"


async def run_scenario() -> str:
    """Everything that the kit finds wrong."""
    found: list[str] = []

    def check(assertion: Callable[[], None]) -> None:
        try:
            assertion()
        except AssertionError as error:
            found.append(str(error))

    service = FakeReactorService({"show": ""})
    harness = Harness(REACTOR + workflow(RECEIVE, STEPS), [Recorder().step_type()], more_executors=[service.kind()])
    async with harness as h, trio.open_nursery() as nursery:
        watcher = await h.watch("live/show")
        nursery.start_soon(watcher.read_until_closed)
        publisher = await h.publish("live/show", PACKETS[:100])
        await wait_all_tasks_blocked()
        await h.put(workflow(RECEIVE, "record", STEPS))
        await publisher.send(PACKETS[100:])
        await wait_all_tasks_blocked()
        await h.stop("w")
        await trio.sleep(10)
        check(watcher.report(PACKETS).require_flawless)
        check(h.assert_quiet)
        nursery.cancel_scope.cancel()
    check(harness.assert_quiet)
    return "\n".join(found)


def alter_at_swap(patch: pytest.MonkeyPatch, change: Callable[[list[MediaEvent], int], None]) -> None:
    """Have `change` done to the first batch with two frames that goes to a target that a swap has given an outlet."""
    swapped: set[Outlet] = set()
    connect, admit = Outlet.connect, Outlet._admit

    def connecting(self: Outlet, target: ChannelInbox | None, suppressed: Sequence[MediaEvent] = ()) -> None:
        if None not in (self._target, target):
            swapped.add(self)
        connect(self, target, suppressed)

    def admitting(self: Outlet, events: Sequence[MediaEvent]) -> Sequence[MediaEvent]:
        batch = list(events)
        frames = [n for n, event in enumerate(batch) if isinstance(event, MediaPacket) and not event.is_sequence_header]
        if self in swapped and len(frames) > 1:
            swapped.remove(self)
            change(batch, frames[0])
        return admit(self, batch)

    patch.setattr(Outlet, "connect", connecting)
    patch.setattr(Outlet, "_admit", admitting)


def drop_one_at_a_swap(patch: pytest.MonkeyPatch) -> None:
    alter_at_swap(patch, lambda batch, place: batch.__delitem__(place))


def repeat_one_at_a_swap(patch: pytest.MonkeyPatch) -> None:
    alter_at_swap(patch, lambda batch, place: batch.insert(place, batch[place]))


def swap_two_at_a_swap(patch: pytest.MonkeyPatch) -> None:
    alter_at_swap(patch, lambda batch, place: batch.insert(place + 1, batch.pop(place)))


def alter_one_at_a_swap(patch: pytest.MonkeyPatch) -> None:
    def change(batch: list[MediaEvent], place: int) -> None:
        packet = batch[place]
        assert isinstance(packet, MediaPacket)
        batch[place] = evolve(packet, data=packet.data[:-1] + bytes((packet.data[-1] ^ 1,)))

    alter_at_swap(patch, change)


def keep_a_claim(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Registrations, "release", lambda _self, _claim: None)


def keep_a_lease(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Hold, "release", lambda _self: None)


def leave_a_child(patch: pytest.MonkeyPatch) -> None:
    async def end(_self: Child) -> None:
        await trio.lowlevel.checkpoint()

    patch.setattr(Child, "_end", end)


def leave_a_pipe(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FakeProcess, "close", lambda _self: None)


def when_a_client_attaches(patch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    attach = Endpoint.attach

    def attaching(self: Endpoint, client: Client) -> None:
        action()
        attach(self, client)

    patch.setattr(Endpoint, "attach", attaching)


def leave_a_task(patch: pytest.MonkeyPatch) -> None:
    when_a_client_attaches(patch, lambda: trio.lowlevel.spawn_system_task(trio.sleep_forever))


def leave_a_subscription(patch: pytest.MonkeyPatch) -> None:
    hubs: list[contextlib.AbstractContextManager[object]] = []

    publish = EventHub.publish

    def publishing(self: EventHub, event: HubEvent) -> None:
        if not hubs:
            hubs.append(self.subscribe())
            hubs[0].__enter__()
        publish(self, event)

    patch.setattr(EventHub, "publish", publishing)


def lose_the_end_of_a_stream(patch: pytest.MonkeyPatch) -> None:
    publish = EventHub.publish

    def publishing(self: EventHub, event: HubEvent) -> None:
        if not isinstance(event, StreamWentOff):
            publish(self, event)

    patch.setattr(EventHub, "publish", publishing)


def keep_a_workflow(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(WorkflowManager, "_forget", lambda _self, _workflow: None)


async def test_without_a_bug_nothing_is_found(autojump_clock: MockClock) -> None:
    assert await run_scenario() == ""


@pytest.mark.parametrize(
    ("plant", "finding"),
    [
        (drop_one_at_a_swap, "1 packet missing: #100 "),
        (repeat_one_at_a_swap, "1 packet repeated: #100 "),
        (swap_two_at_a_swap, "1 packet out of order: #100 "),
        (alter_one_at_a_swap, "1 packet altered: #100 "),
        (
            keep_a_claim,
            "still registered: port 1935, application 'live', stream key '*' for publishers by workflow 'w'",
        ),
        (keep_a_lease, "reactors still hold leases (reactor and stream): r show"),
        (leave_a_child, "child 1000 ("),
        (leave_a_pipe, "the pipes of child 1000 ("),
        (leave_a_task, "the task trio.sleep_forever"),
        (leave_a_subscription, "1 subscriptions to events have not ended"),
        (lose_the_end_of_a_stream, "the stream 'show' ("),
        (keep_a_workflow, "a workflow that was stopped has not ended"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
async def test_a_known_bug_is_found_and_named(
    plant: Plant, finding: str, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    assert finding in await run_scenario()
