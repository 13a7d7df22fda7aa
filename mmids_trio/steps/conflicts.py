"""What steps of one text want twice: found before anything runs, by the rules of the registrations themselves."""

from collections.abc import Iterator, Sequence

from mmids_trio.definitions import StepDefinition, WorkflowDefinition
from mmids_trio.errors import Problem, RegistrationConflict
from mmids_trio.rtmp.server.registrations import Owner, Registration, Registrations, Role
from mmids_trio.steps.rtmp_parameters import port_of

ROLES = {"rtmp_receive": Role.PUBLISH, "rtmp_watch": Role.WATCH}
"""What steps of these types register."""


def conflicts(workflows: Sequence[WorkflowDefinition]) -> Iterator[Problem]:
    """Steps that want what an earlier one has: the same port, application and key, or the port with and without TLS."""
    taken: Registrations[None] = Registrations()
    for workflow in workflows:
        for number, step in enumerate(workflow.steps, 1):
            role = ROLES.get(step.step_type)
            if role is None or step.place is None:
                continue
            try:
                taken.commit(taken.reserve(_registration(role, step), Owner(workflow.name, str(number)), None))
            except RegistrationConflict as error:
                yield Problem(step.place, str(error))


def _registration(role: Role, step: StepDefinition) -> Registration:
    parameters = step.parameters
    app, key = parameters["rtmp_app"] or "", parameters["stream_key"] or ""
    return Registration(role, port_of(step), app, key, tls=step.has_flag("rtmps"))
