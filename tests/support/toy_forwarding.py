"""Workflows of toy steps and real forwarders, with what tests of forwarding say again and again.

`"forward:b"` is a `workflow_forwarder target_workflow=b`; everything else is a step of the bench.
"""

from collections.abc import Callable, Sequence

from attrs import define, field
from trio.testing import wait_all_tasks_blocked

from mmids_trio.definitions import StepDefinition, WorkflowDefinition
from mmids_trio.media.events import MediaEvent, StreamEnded, StreamMetadata, StreamStarted
from mmids_trio.steps.approval import KnownReactors
from mmids_trio.steps.registry import StepRegistry
from mmids_trio.steps.workflow_forwarder import workflow_forwarder
from mmids_trio.workflow.forwarding import ForwardingTable, Inlet
from mmids_trio.workflow.hub import EventHub
from mmids_trio.workflow.manager import WorkflowManager
from mmids_trio.workflow.pipeline import SharedServices
from mmids_trio.workflow.status import Outcome, OutcomeKind
from mmids_trio.workflow.step import StepFactory
from tests.support.numbered_events import Footage
from tests.support.reactors import ScriptedReactors
from tests.support.toy_steps import Bench, definition, is_frame

PROLOGUE = ["started", "metadata", "header", "header"]
"""The words of `Crossing.story` for what comes before the frames of `Footage`."""


def frames(*numbers: int, stream: str = "x") -> list[str]:
    """The words for frames of `Footage`."""
    return [f"{stream}{number}" for number in numbers]


@define(eq=False)
class Crossing:
    """A manager whose steps come from a bench, and from the registry where they are forwarders."""

    reactors: KnownReactors = field(factory=ScriptedReactors)
    bench: Bench = field(factory=Bench, init=False)
    forwarding: ForwardingTable = field(factory=ForwardingTable, init=False)
    hub: EventHub = field(factory=EventHub, init=False)
    manager: WorkflowManager = field(init=False)
    _registry: StepRegistry = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._registry = StepRegistry([workflow_forwarder(self.forwarding, self.reactors)])
        self.manager = WorkflowManager(self, SharedServices(self.forwarding, self.hub))

    # As the registry of the manager.

    def validate(self, wanted: WorkflowDefinition) -> WorkflowDefinition:
        """See `workflow.manager.Steps`."""
        return wanted

    def works(self, wanted: WorkflowDefinition) -> Sequence[Callable[[], object]]:
        """See `workflow.pipeline.StepFactories`."""
        return ()

    def announce(self, wanted: WorkflowDefinition) -> Callable[[], None]:
        """See `workflow.pipeline.StepFactories`."""
        return lambda: None

    def in_place(self, step_type: str) -> frozenset[str]:
        """See `workflow.pipeline.StepFactories`."""
        return frozenset()

    def read(self, wanted: StepDefinition) -> StepDefinition:
        """See `workflow.pipeline.StepFactories`."""
        return wanted

    def factory(self, wanted: StepDefinition) -> StepFactory:
        """See `workflow.pipeline.StepFactories`."""
        if wanted.step_type == "forward":
            return self._registry.factory(
                StepDefinition("workflow_forwarder", {"target_workflow": wanted.parameters["label"]})
            )
        if wanted.step_type == "route":
            return self._registry.factory(StepDefinition("workflow_forwarder", {"reactor": wanted.parameters["label"]}))
        return self.bench.factory(wanted)

    # What tests say.

    async def apply(self, name: str, *steps: str) -> Outcome:
        """Start or change a workflow; returns when it is known what came of it, and all is quiet."""
        outcome = await self.manager.apply(definition(name, *steps)).wait_outcome()
        await wait_all_tasks_blocked()
        return outcome

    async def run(self, name: str, *steps: str) -> None:
        """As `apply`, of what has to work."""
        outcome = await self.apply(name, *steps)
        assert outcome.kind is OutcomeKind.APPLIED, outcome

    async def stop(self, name: str) -> None:
        """Stop a workflow."""
        await self.manager.stop(name)
        await wait_all_tasks_blocked()

    async def send(self, label: str, events: Sequence[MediaEvent]) -> None:
        """Have a step send `events`, and wait until they have gone where they go."""
        await self.bench.send(label, events)
        await wait_all_tasks_blocked()

    async def send_singly(self, label: str, events: Sequence[MediaEvent]) -> None:
        """Have a step send `events` one by one."""
        for event in events:
            await self.send(label, [event])

    async def begin(self, label: str, stream: Footage, frames: int = 0) -> None:
        """Have a source start a stream."""
        await self.send(label, [*stream.start(), *stream.frames(frames)])

    def inlet(self, name: str) -> Inlet:
        """The entry of a workflow that runs."""
        return self.forwarding._inlets[name]

    @property
    def is_empty(self) -> bool:
        """Whether nobody forwards to anybody."""
        return not self.forwarding._routes and not self.forwarding._departures

    def story(self, label: str, stream_id: str = "x") -> list[str]:
        """What reached the step of one stream, each event a word; frames by their payloads."""
        return [_word(event) for event in self.bench[label].of(stream_id)]


async def start_pair(crossing: Crossing, *target: str) -> None:
    """Start `target`, and `source` that forwards to it."""
    await crossing.run("target", *(target or ("recorder:t",)))
    await crossing.run("source", "source:s", "forward:target", "recorder:rest")


def _word(event: MediaEvent) -> str:
    if is_frame(event):
        return event.data.decode()
    names = {StreamStarted: "started", StreamMetadata: "metadata", StreamEnded: "ended"}
    return names.get(type(event), "header")
