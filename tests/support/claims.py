"""Toy steps that claim a key each, of which there is one on the whole server; by the rules of RTMP registrations."""

from collections.abc import Mapping

import trio
from attrs import define, field, frozen

from mmids_trio.definitions import StepDefinition
from mmids_trio.media.flow import Flow
from mmids_trio.rtmp.server.registrations import Claim, Owner, Registration, Registrations, Role
from mmids_trio.workflow.step import Inbox, Outbox, StepContext, StepFactory
from tests.support.toy_steps import Bench

PORT = 1935


@frozen
class _ReservedClaim:
    registrations: Registrations[str]
    claim: Claim[str]

    def commit(self) -> None:
        self.registrations.commit(self.claim)


@frozen
class ClaimingStep:
    """See `workflow.step.Step`."""

    key: str
    registrations: Registrations[str]
    context: StepContext
    flow: Flow = field(default=Flow.PASSES_ON, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        """See `workflow.step.Step`."""
        owner = Owner(self.context.workflow, self.context.step_id)
        registration = Registration(Role.PUBLISH, PORT, "app", self.key)
        await trio.lowlevel.checkpoint()
        claim = self.registrations.reserve(registration, owner, self.context.workflow, self.context.is_leaving)
        try:
            self.context.reserve(_ReservedClaim(self.registrations, claim))
            task_status.started()
            while True:
                await outbox.send(await inbox.receive())
        finally:
            self.registrations.release(claim)


@define(eq=False)
class ClaimingBench(Bench):
    """A bench that also knows `"claim:k"`, a step that claims the key `k`."""

    registrations: Registrations[str] = field(factory=Registrations, init=False)

    def factory(self, wanted: StepDefinition) -> StepFactory:
        """See `workflow.pipeline.StepFactories`."""
        if wanted.step_type != "claim":
            return super().factory(wanted)
        key = wanted.parameters["label"] or ""
        return lambda context: ClaimingStep(key, self.registrations, context)

    def holders(self, keys: str) -> Mapping[str, str]:
        """Which workflow has which of the `keys`, and nobody but it waits for it."""
        found = {key: self.registrations.find(Role.PUBLISH, PORT, "app", key) for key in keys}
        held = {key: claim for key, claim in found.items() if claim is not None}
        assert all(claim.committed for claim in held.values())
        assert len(self.registrations._ports.get((PORT, False), ())) == len(held), "somebody else waits for a key"
        return {key: claim.endpoint for key, claim in held.items()}
