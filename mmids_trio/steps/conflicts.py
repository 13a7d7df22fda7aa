"""What steps of one text want twice: found before anything runs, by the rules of the registrations themselves."""

from collections.abc import Iterator, Sequence

from attrs import frozen

from mmids_trio.config.settings import Settings
from mmids_trio.definitions import StepDefinition, WorkflowDefinition
from mmids_trio.errors import Problem, RegistrationConflict
from mmids_trio.rtmp.server.registrations import HTTP_NAMES, Owner, Registration, Registrations, Role
from mmids_trio.steps.rtmp_parameters import http_port_of, port_of

HTTP = "http_watch"
"""The step that serves another protocol."""

ROLES = {"rtmp_receive": Role.PUBLISH, "rtmp_watch": Role.WATCH, HTTP: Role.WATCH}
"""What steps of these types register."""

EVERYWHERE = frozenset((None, "", "0.0.0.0", "::"))
"""Hosts that stand for all addresses of a machine."""


@frozen
class _PortUser:
    """A listener of the server: who opens a port, on which of its addresses, and for what."""

    protocol: str
    host: str | None
    name: str

    def excludes(self, other: "_PortUser") -> bool:
        """Whether the two cannot both listen on one port."""
        meet = self.host == other.host or not EVERYWHERE.isdisjoint((self.host, other.host))
        return self.protocol != other.protocol and meet


def conflicts(workflows: Sequence[WorkflowDefinition], settings: Settings | None = None) -> Iterator[Problem]:
    """Steps that want what an earlier one has: the same port, application and key, the port with and without TLS, or
    for another protocol; or the port of the API that `settings` name."""
    settings = settings or Settings()
    taken: dict[bool, Registrations[None]] = {False: Registrations(), True: Registrations(HTTP_NAMES)}
    ports = dict[int, list[_PortUser]]()
    if settings.http_api_port:
        ports[settings.http_api_port] = [_PortUser("the API", settings.http_api_host, "the setting http_api_port")]
    for workflow in workflows:
        for number, step in enumerate(workflow.steps, 1):
            role = ROLES.get(step.step_type)
            if role is None or step.place is None:
                continue
            is_http = step.step_type == HTTP
            wanted = _registration(role, step, settings.http_media_port)
            try:
                of_kind = taken[is_http]
                of_kind.commit(of_kind.reserve(wanted, Owner(workflow.name, str(number)), None))
            except RegistrationConflict as error:
                yield Problem(step.place, str(error))
            host = settings.http_media_host if is_http else settings.rtmp_host
            user = _PortUser("HTTP" if is_http else "RTMP", host, f"workflow '{workflow.name}' (step id {number})")
            if (other := _add(ports, wanted.port, user)) is not None:
                has = f"port {wanted.port} is used for {other.protocol} by {other.name}"
                yield Problem(step.place, f"{has}, so it cannot serve {user.protocol} as well")


def _add(ports: dict[int, list[_PortUser]], port: int, user: _PortUser) -> _PortUser | None:
    """Who keeps a port from a user, if anybody does; port 0 is any that is free."""
    users = ports.setdefault(port, [])
    other = next((one for one in users if port and one.excludes(user)), None)
    if other is None:
        users.append(user)
    return other


def _registration(role: Role, step: StepDefinition, media_port: int) -> Registration:
    parameters = step.parameters
    key = parameters["stream_key"] or ""
    if step.step_type == HTTP:
        port = http_port_of(step, media_port)
        return Registration(role, port, parameters["app"] or "", key, tls=step.has_flag("https"))
    app = parameters["rtmp_app"] or ""
    return Registration(role, port_of(step), app, key, tls=step.has_flag("rtmps"))
