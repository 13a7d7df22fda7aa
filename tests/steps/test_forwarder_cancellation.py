"""A forwarder that is cancelled at any await, while its target lives on: no stream, route or question is left."""

import pytest
import trio

from mmids_trio.definitions import StepDefinition
from mmids_trio.steps.registry import StepRegistry
from mmids_trio.steps.workflow_forwarder import workflow_forwarder
from mmids_trio.testing.cancellation import cancel_everywhere
from mmids_trio.workflow.forwarding import ForwardingTable
from mmids_trio.workflow.links import ChannelInbox, Outlet
from mmids_trio.workflow.running_step import RunningStep
from tests.support.inlet_end import Entry
from tests.support.numbered_events import Footage, legality
from tests.support.reactors import ScriptedReactor, ScriptedReactors
from tests.support.toy_steps import is_frame

NAME = "name of x"


@pytest.mark.parametrize("parameter", ["target_workflow", "reactor"])
async def test_nothing_is_left_in_a_target_that_lives_on(parameter: str) -> None:
    forwarding, reactor, target = ForwardingTable(), ScriptedReactor(), Entry()
    forwarding.open("a", target.inlet)
    definition = StepDefinition("workflow_forwarder", {parameter: "a" if parameter == "target_workflow" else "r"})
    factory = StepRegistry([workflow_forwarder(forwarding, ScriptedReactors(reactor))]).factory(definition)

    async def run() -> None:
        reactor.answers.clear()
        step = factory(RunningStep("w", "1", definition, lambda *_: False, lambda _: None, lambda _: None))
        inbox, outlet, stream = ChannelInbox(), Outlet(), Footage()
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status: step.run(inbox, outlet, task_status=task_status))
            inbox.put([*stream.start(), *stream.frames(2)])
            await inbox.wait_rest()
            reactor.answer(NAME, "a")
            inbox.put([*stream.frames(7), stream.end(), *stream.start()])
            await inbox.wait_rest()
            await trio.lowlevel.checkpoint()
            inbox.put(stream.frames(3))
            await inbox.wait_rest()
            nursery.cancel_scope.cancel()

    def check() -> None:
        target.take()
        assert not target.inlet.streams
        assert not forwarding._routes
        assert not forwarding._departures
        assert not reactor.held
        assert legality(target.seen) is None

    assert await cancel_everywhere(run, check) > 5
    assert any(is_frame(event) for event in target.seen)
