"""What steps of one text want twice: found before anything runs, by the rules of the registrations themselves."""

from collections.abc import Iterator, Sequence

from mmids_trio.definitions import StepDefinition, WorkflowDefinition
from mmids_trio.errors import Problem, RegistrationConflict
from mmids_trio.rtmp.server.registrations import Owner, Registration, Registrations, Role
from mmids_trio.steps.rtmp_parameters import port_of

HTTP, HTTP_PORT = "http_watch", 8080
"""The step that serves another protocol, and its port where neither it nor a setting names one."""

ROLES = {"rtmp_receive": Role.PUBLISH, "rtmp_watch": Role.WATCH, HTTP: Role.WATCH}
"""What steps of these types register."""


def conflicts(workflows: Sequence[WorkflowDefinition]) -> Iterator[Problem]:
    """Steps that want what an earlier one has: the same port, application and key, or the port with and without TLS."""
    taken: dict[bool, Registrations[None]] = {is_http: Registrations() for is_http in (False, True)}
    for workflow in workflows:
        for number, step in enumerate(workflow.steps, 1):
            role = ROLES.get(step.step_type)
            if role is None or step.place is None:
                continue
            try:
                of_kind = taken[step.step_type == HTTP]
                of_kind.commit(of_kind.reserve(_registration(role, step), Owner(workflow.name, str(number)), None))
            except RegistrationConflict as error:
                yield Problem(step.place, str(error))


def _registration(role: Role, step: StepDefinition) -> Registration:
    parameters = step.parameters
    key = parameters["stream_key"] or ""
    if step.step_type == HTTP:
        port = parameters.get("port")
        return Registration(
            role, HTTP_PORT if port is None else int(port), parameters["app"] or "", key, tls=step.has_flag("https")
        )
    app = parameters["rtmp_app"] or ""
    return Registration(role, port_of(step), app, key, tls=step.has_flag("rtmps"))
