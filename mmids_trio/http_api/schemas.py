"""The JSON of the HTTP API: pure functions from what the server knows to what a client reads.

Apart from the handlers because field names and their order are a contract, and the handlers are not.
"""

from collections.abc import Iterable

from attrs import asdict, evolve

from mmids_trio.reactors.views import LeaseView, ReactorView
from mmids_trio.workflow.status import PlanView, StepStatus, StreamStatus, Switched, WorkflowOwner, WorkflowStatus

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None


def names_json(names: Iterable[str]) -> Json:
    """Body of `GET /workflows`."""
    return [{"name": name} for name in names]


def workflow_json(workflow: WorkflowStatus) -> Json:
    """Body of `GET /workflows/<name>`. A flag parameter's value is null."""
    described: dict[str, Json] = {
        "status": workflow.status,
        "active_steps": [_step_json(step) for step in workflow.active_steps],
        "pending_steps": [_step_json(step) for step in workflow.pending_steps],
    }
    if workflow.owner is not None:
        described["owner"] = _owner_json(workflow.owner)
    return described


def reactor_json(reactor: ReactorView) -> Json:
    """Body of `GET /reactors/<name>`, and one item of `GET /reactors`. Times are seconds from now."""
    return {
        "name": reactor.name,
        "executor": reactor.executor,
        "update_interval": reactor.update_interval,
        "leases": [_lease_json(lease) for lease in reactor.leases],
    }


def _lease_json(lease: LeaseView) -> Json:
    return {
        "stream": lease.stream,
        "holders": lease.holders,
        "valid": lease.valid,
        "workflows": list(lease.workflows),
        "last_answer": lease.last_answer,
        "last_error": lease.last_error,
        "failures": lease.failures,
        "next_update": lease.next_update,
    }


def _owner_json(owner: WorkflowOwner) -> Json:
    """`name` and `stream` are there where they mean something."""
    described: dict[str, Json] = {"kind": owner.kind}
    if owner.name is not None:
        described["name"] = owner.name
    if owner.stream is not None:
        described["stream"] = owner.stream
    return described


def plan_json(plan: PlanView) -> Json:
    """Body of a successful `PUT /workflows`."""
    return {
        "workflow": plan.workflow,
        "created": plan.created,
        "changed": plan.changed,
        "steps": [{"step_id": step.step_id, "step_type": step.step_type, "action": step.action} for step in plan.steps],
    }


def switched_json(switched: Switched) -> Json:
    """Body of a successful `POST .../switch`."""
    return {"sending": switched.sending, "wanted": switched.wanted}


def error_json(message: str) -> Json:
    """Body of every refusal."""
    return {"error": message}


def _step_json(step: StepStatus) -> Json:
    """`streams` is there only when there is something to say about one of them."""
    described: dict[str, Json] = {
        "step_id": step.step_id,
        "step_type": step.step_type,
        "parameters": dict(step.parameters),
        "status": step.status,
    }
    if step.streams:
        described["streams"] = [_stream_json(stream) for stream in step.streams]
    return described


def _stream_json(stream: StreamStatus) -> Json:
    """Only what is known of it."""
    left = None if stream.seconds_left is None else round(stream.seconds_left, 1)
    return {name: value for name, value in asdict(evolve(stream, seconds_left=left)).items() if value is not None}
