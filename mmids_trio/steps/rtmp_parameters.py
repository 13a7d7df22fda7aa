"""What `rtmp_receive` and `rtmp_watch` have in common: their parameters, and the registration these amount to."""

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from attrs import frozen

from mmids_trio.addresses import AddressRules, IpNetwork, parse_networks
from mmids_trio.config.converters import port_number, text, web_address
from mmids_trio.config.parameters import flag, parameter
from mmids_trio.definitions import StepDefinition
from mmids_trio.rtmp.server.endpoints import Claimant, Client, PublishHandler, Service, WatchHandler
from mmids_trio.rtmp.server.registrations import Registration, Role
from mmids_trio.steps.approval import KnownReactors, reactor_problems
from mmids_trio.stream_request import Action, StreamRequest

RTMP_PORT = 1935
RTMPS_PORT = 443


def port_of(step: StepDefinition) -> int:
    """The port that a validated step asks for which takes clients."""
    port = step.parameters.get("port")
    if port is not None:
        return int(port)
    return RTMPS_PORT if step.has_flag("rtmps") else RTMP_PORT


def http_port_of(step: StepDefinition, usual: int) -> int:
    """The same of an `http_watch`, whose `usual` port is a setting."""
    port = step.parameters.get("port")
    return usual if port is None else int(port)


@frozen
class RtmpParameters:
    """`port` of `None`: the usual one."""

    rtmp_app: str = parameter(text)
    stream_key: str = parameter(text)
    port: int | None = parameter(port_number, default=None)
    rtmps: bool = flag()
    allow_ips: tuple[IpNetwork, ...] = parameter(parse_networks, default=(), in_place=True)
    deny_ips: tuple[IpNetwork, ...] = parameter(parse_networks, default=(), in_place=True)
    reactor: str | None = parameter(text, default=None, in_place=True)
    auth_url: str | None = parameter(web_address, default=None, in_place=True)

    def address_conflicts(self) -> Iterable[str]:
        """`allow_ips` and `deny_ips` exclude each other."""
        if self.allow_ips and self.deny_ips:
            yield "expected 'allow_ips' or 'deny_ips', not both"

    def key_conflicts(self) -> Iterable[str]:
        """A key with a query would match no client."""
        if "?" in self.stream_key:
            yield (
                "'stream_key' cannot have a query, which is no part of a key: write what stands before the '?', and"
                " check the query with publish_token, play_key or a reactor"
            )

    @property
    def rules(self) -> AddressRules:
        """Who may connect."""
        return AddressRules(self.allow_ips, self.deny_ips)

    def registration(self, role: Role) -> Registration:
        """What the step wants to serve."""
        return Registration(
            role,
            port=(RTMPS_PORT if self.rtmps else RTMP_PORT) if self.port is None else self.port,
            app=self.rtmp_app,
            key=self.stream_key,
            tls=self.rtmps,
            rules=self.rules,
        )


class RtmpPorts(Protocol):
    """The RTMP server, as far as its steps need it."""

    def bound_port(self, number: int) -> int | None:
        """See `RtmpServer.bound_port`."""

    def serve(
        self, registration: Registration, claimant: Claimant, handler: PublishHandler | WatchHandler
    ) -> AbstractAsyncContextManager[Service]:
        """See `RtmpServer.serve`."""

    def expect(self, registration: Registration) -> Callable[[], None]:
        """See `RtmpServer.expect`."""


@frozen
class Gate:
    """What of a request for a stream is the same for all clients of a step."""

    registration: Registration
    server: RtmpPorts
    protocol: str

    def request(self, action: Action, key: str, query: str, client: Client) -> StreamRequest:
        """What a client asks for."""
        port = self.registration.port
        return StreamRequest(
            key=key,
            query=query,
            action=action,
            app=self.registration.app,
            port=port or self.server.bound_port(port) or port,
            protocol=self.protocol,
            address=client.peer_host,
        )


def rtmp_conflicts(reactors: KnownReactors) -> Callable[[RtmpParameters], Iterable[str]]:
    """What is wrong with parameters that are fine one by one."""
    return lambda parameters: [
        *parameters.address_conflicts(),
        *parameters.key_conflicts(),
        *reactor_problems(parameters.reactor, reactors),
    ]


def cluster_problems(is_wanted: bool, cluster: object | None) -> Iterable[str]:
    """A step can only take part in a cluster that there is."""
    if is_wanted and cluster is None:
        yield "'cluster' needs a cluster, and the configuration has none: add a node 'cluster NAME { … }'"
