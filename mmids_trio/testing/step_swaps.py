"""A step in a workflow that changes around it: it comes in and goes out while media flow, twice.

Apart from the other scenarios because the workflow's own machinery is around the step here, instead of a rig.
"""

from collections.abc import Callable, Sequence
from typing import TypeGuard

import trio
import trio.testing
from attrs import define, field

from mmids_trio.config.parameters import NoParameters
from mmids_trio.definitions import StepDefinition, WorkflowDefinition
from mmids_trio.media.events import MediaEvent, MediaPacket, StreamId
from mmids_trio.media.flow import Flow
from mmids_trio.steps.registry import StepRegistry, StepType
from mmids_trio.testing.event_sequences import Move, events_of
from mmids_trio.testing.recorder import Recorder
from mmids_trio.testing.step_rig import Belongings, Case, StepTasks, require_nothing_left
from mmids_trio.testing.step_rules import StepFault, StepRule, describe_all
from mmids_trio.workflow.manager import WorkflowManager
from mmids_trio.workflow.status import OutcomeKind
from mmids_trio.workflow.step import Inbox, Outbox

BETWEEN = 0.05
"""Seconds from one event of the source to the next."""

CHANGE_SECONDS = 120
"""That a change, or the end of the workflow, may take."""

_MOVES = [(stream, move) for move in (Move.KEY_FRAME, Move.VIDEO, Move.AUDIO, Move.VIDEO) for stream in (0, 1)]

SEQUENCES = (
    ("source", "sink"),
    ("source", "step", "sink"),
    ("source", "beside", "step", "sink"),
    ("source", "step", "beside", "sink"),
    ("source", "sink"),
    ("source", "step", "sink"),
    ("source", "sink"),
)
"""What the workflow consists of, one after another."""


@define(eq=False)
class _Source:
    """Sends what the scenario gives it."""

    outbox: Outbox | None = None
    flow: Flow = field(default=Flow.PRODUCES, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        """See `workflow.step.Step`."""
        self.outbox = outbox
        task_status.started()
        await trio.sleep_forever()

    async def send(self, events: Sequence[MediaEvent]) -> None:
        """One at a time."""
        assert self.outbox is not None
        for event in events:
            await self.outbox.send([event])
            await trio.sleep(BETWEEN)


async def swaps(case: Case, passes_all: Callable[[], bool]) -> None:
    """Media flow from a source to a sink while the step is put in between, moved and taken out, twice.

    `passes_all`: whether all that it is given comes out of the step, as a rule.
    """
    async with case.world() as step_type:
        before, source, sink, beside = Belongings.now(), _Source(), Recorder(), Recorder()
        kinds = [
            StepType("source", NoParameters, lambda _parameters, _context: source),
            sink.step_type("sink"),
            beside.step_type("beside"),
        ]
        manager = WorkflowManager(StepRegistry([*kinds, step_type]))
        of_step = case.definition(step_type)
        sent: list[MediaEvent] = []
        tasks = StepTasks()
        with tasks.watched():
            async with trio.open_nursery() as nursery:
                tasks.nursery = nursery
                await nursery.start(manager.run)
                for number, sequence in enumerate(SEQUENCES):
                    events = events_of(_MOVES * (number + 1), all_end=False)[len(sent) :]
                    sent += events
                    await _change(manager, sequence, of_step, source, events if number else ())
                    if not number:
                        await source.send(events)
                with trio.move_on_after(CHANGE_SECONDS):
                    await manager.stop("w")
                    await trio.testing.wait_all_tasks_blocked()
                await require_nothing_left(tasks, before, "after the workflow has ended:")
                nursery.cancel_scope.cancel()
    _judge(sent, sink.events, passes_all())


async def _change(
    manager: WorkflowManager,
    sequence: Sequence[str],
    of_step: StepDefinition,
    source: _Source,
    events: Sequence[MediaEvent],
) -> None:
    steps = tuple(of_step if name == "step" else StepDefinition(name, {}) for name in sequence)
    async with trio.open_nursery() as nursery:
        if events:
            nursery.start_soon(source.send, events)
            await trio.sleep(3 * BETWEEN)
        change = manager.apply(WorkflowDefinition("w", steps))
        outcome = None
        with trio.move_on_after(CHANGE_SECONDS):
            outcome = await change.wait_outcome()
        if outcome is None or outcome.kind is not OutcomeKind.APPLIED:
            why = "the change has not come to its end" if outcome is None else outcome.message
            raise StepFault(
                StepRule.NOTHING_LEFT, f"a change of the workflow to {' '.join(sequence)} did not succeed: {why}"
            )


def _judge(sent: Sequence[MediaEvent], came: Sequence[MediaEvent], passes_all: bool) -> None:
    """What came to the sink of what the source has sent; a swap repeats headers and metadata, and no frame.

    Each stream for itself: a step that makes several of one may send a frame in each of them.
    """
    places = {event.data: place for place, event in enumerate(sent) if _is_frame(event)}
    newest: dict[StreamId, int] = {}
    seen: set[tuple[StreamId, int]] = set()
    for event in came:
        if not _is_frame(event) or (place := places.get(event.data)) is None:
            continue
        if (event.stream_id, place) in seen:
            raise StepFault(StepRule.REPEATED, f"came twice when the workflow changed: {describe_all([event])}")
        if place < newest.get(event.stream_id, -1):
            raise StepFault(StepRule.ORDER, f"came too late when the workflow changed: {describe_all([event])}")
        seen.add((event.stream_id, place))
        newest[event.stream_id] = place
    taken = {place for _, place in seen}
    lost = [event for place, event in enumerate(sent) if _is_frame(event) and place not in taken]
    if passes_all and lost:
        raise StepFault(StepRule.REST, f"lost when the workflow changed: {describe_all(lost)}")


def _is_frame(event: MediaEvent) -> TypeGuard[MediaPacket]:
    return isinstance(event, MediaPacket) and not event.is_sequence_header
