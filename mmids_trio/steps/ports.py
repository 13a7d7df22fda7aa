"""On which ports the steps of a workflow take clients: as asked for, and as they are really open."""

from attrs import frozen

from mmids_trio.definitions import StepDefinition, WorkflowDefinition
from mmids_trio.steps.conflicts import HTTP, ROLES
from mmids_trio.steps.rtmp_parameters import RtmpPorts, http_port_of, port_of


@frozen
class OpenPorts:
    """Those of the two servers; `usual` is that of `http_watch` without one of its own."""

    _rtmp: RtmpPorts
    _media: RtmpPorts
    _usual: int

    def of(self, workflow: WorkflowDefinition) -> dict[str, int]:
        """By the ids of steps; without those that no port is open for now."""
        steps = zip(workflow.step_ids, workflow.steps, strict=True)
        found = ((step_id, self._of_step(step)) for step_id, step in steps)
        return {step_id: port for step_id, port in found if port is not None}

    def _of_step(self, step: StepDefinition) -> int | None:
        if step.step_type == HTTP:
            return self._media.bound_port(http_port_of(step, self._usual))
        return self._rtmp.bound_port(port_of(step)) if step.step_type in ROLES else None
