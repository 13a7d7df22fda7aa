"""What `rtmp_receive` and `rtmp_watch` have in common: their parameters, and the registration these amount to."""

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, cast

from mmids_trio.net.addresses import AddressRules, IpNetwork, parse_networks
from mmids_trio.rtmp.server.endpoints import Claimant, PublishHandler, WatchHandler
from mmids_trio.rtmp.server.registrations import Registration, Role
from mmids_trio.steps.approval import Reactors, reactor_problems
from mmids_trio.steps.parameters import Parameter, Values, flag, port_number, text

RTMP_PORT = 1935
RTMPS_PORT = 443

RTMP_PARAMETERS = (
    Parameter("rtmp_app", text, required=True),
    Parameter("stream_key", text, required=True),
    Parameter("port", port_number),
    flag("rtmps"),
    Parameter("allow_ips", parse_networks),
    Parameter("deny_ips", parse_networks),
    Parameter("reactor", text),
)


class RtmpPorts(Protocol):
    """The RTMP server, as far as its steps need it."""

    def serve(
        self, registration: Registration, claimant: Claimant, handler: PublishHandler | WatchHandler
    ) -> AbstractAsyncContextManager[None]:
        """See `RtmpServer.serve`."""


def address_conflicts(values: Values) -> Iterable[str]:
    """`allow_ips` and `deny_ips` exclude each other."""
    if values["allow_ips"] and values["deny_ips"]:
        yield "expected 'allow_ips' or 'deny_ips', not both"


def rtmp_conflicts(reactors: Reactors) -> Callable[[Values], Iterable[str]]:
    """What is wrong with parameters that are fine one by one."""
    return lambda values: [*address_conflicts(values), *reactor_problems(values, reactors)]


def registration(role: Role, values: Values) -> Registration:
    """What the step wants to serve."""
    tls = bool(values["rtmps"])
    port = values["port"]
    return Registration(
        role,
        port=(RTMPS_PORT if tls else RTMP_PORT) if port is None else cast(int, port),
        app=cast(str, values["rtmp_app"]),
        key=cast(str, values["stream_key"]),
        tls=tls,
        rules=AddressRules(
            cast(tuple[IpNetwork, ...], values["allow_ips"] or ()),
            cast(tuple[IpNetwork, ...], values["deny_ips"] or ()),
        ),
    )
