"""The RTMP server: ports that are open while anybody has registered something on them, and their connections."""

import errno
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from math import inf

import structlog
import trio
from attrs import define, evolve, field, frozen

from mmids_trio.addresses import IpNetwork
from mmids_trio.errors import PortTaken, StepError
from mmids_trio.media_memory import MediaMemory
from mmids_trio.net.certificates import Certificates
from mmids_trio.net.limits import ConnectionLimiter
from mmids_trio.net.proxy_protocol import Balancers, HeaderRefused
from mmids_trio.net.read_coalescer import ReadCoalescer
from mmids_trio.net.tls import ConnectionGate, HandshakeFailed, TlsGate
from mmids_trio.net.transport import Listener, Network, Transport
from mmids_trio.on_air.directory import OnAir
from mmids_trio.rejections import RejectCounters, RejectReason
from mmids_trio.rtmp.server.endpoints import Claimant, Endpoint, PublishHandler, Service, WatchHandler
from mmids_trio.rtmp.server.registrations import RTMP_NAMES, Claim, Expectation, Registration, Registrations, Role
from mmids_trio.rtmp.server.session import RtmpSession, Traffic, name_of
from mmids_trio.rtmp.server.session_bounds import SessionBounds

log = structlog.get_logger()

CLOSE_SECONDS = 2.0
"""How long the end of a port is awaited: its connections are cancelled, and a goodbye takes a second at most."""


@define(eq=False)
class _Port:
    """An open port."""

    number: int
    listener: Listener
    scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    ended: trio.Event = field(factory=trio.Event, init=False)


@define
class _ReservedClaim:
    """See `Reservation`."""

    registrations: Registrations[Endpoint]
    claim: Claim[Endpoint]

    def commit(self) -> None:
        self.registrations.commit(self.claim)


@frozen
class Entrance:
    """What clients of encrypted connections, or of others, find; see `admission.Directory`."""

    registrations: Registrations[Endpoint]
    tls: bool

    def find(self, role: Role, port: int, app: str, key: str) -> Claim[Endpoint] | None:
        return self.registrations.find(role, port, app, key, tls=self.tls)

    def expected(self, role: Role, port: int, app: str, key: str) -> Expectation | None:
        return self.registrations.expected(role, port, app, key, tls=self.tls)

    def has_application(self, port: int, app: str) -> bool:
        return self.registrations.has_application(port, app)


class RtmpServer:
    """Opens a port with the first registration on it and closes it with the last.

    `host`: the address to bind, `None` for all.  `publisher_timeout`: seconds.  `merge_reads`: see `ReadCoalescer`.
    `limiter`: of the connections of all ports together; more are closed at once, so that there are files left for
    everything else.  `max_streams_per_connection`: of publishers.
    `memory`: where what clients hold is charged.  `on_air`: where they are seen.
    `balancers`: see `Balancers`.  `certificates`: for RTMPS.  `rejections`: where refusals are counted.  `gate`: who
    lets connections in, without one `TlsGate`.  `entropy`: so many random bytes.

    `publisher_timeout` may be changed while it runs; it counts for connections that are made from then on.
    """

    def __init__(
        self,
        network: Network,
        *,
        host: str | None = None,
        publisher_timeout: float = 30.0,
        merge_reads: bool = True,
        limiter: ConnectionLimiter | None = None,
        max_streams_per_connection: float = inf,
        memory: MediaMemory | None = None,
        on_air: OnAir | None = None,
        balancers: Sequence[IpNetwork] = (),
        certificates: Certificates | None = None,
        rejections: RejectCounters | None = None,
        gate: ConnectionGate | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
        protocols: tuple[str, str] = RTMP_NAMES,
    ) -> None:
        self._network = network
        self._host = host
        self.publisher_timeout = publisher_timeout
        self.rejections = rejections or RejectCounters()
        self._limiter = limiter or ConnectionLimiter(inf)
        self._present = 0
        self._bounds = SessionBounds(
            max_streams_per_connection, memory=memory or MediaMemory(), on_air=on_air or OnAir()
        )
        self._balancers = Balancers(balancers)
        self._certificates = certificates or Certificates()
        self._gate = gate or TlsGate(self._certificates)
        self._entropy = entropy
        self._registrations: Registrations[Endpoint] = Registrations(protocols)
        self._ports: dict[int, _Port] = {}
        self._nursery: trio.Nursery | None = None
        self._traffic = Traffic()
        self._coalescer = ReadCoalescer(merge_reads)
        self._sessions: dict[RtmpSession, None] = {}

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own the ports and connections until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._start_helpers(nursery)
            try:
                task_status.started()
                await trio.sleep_forever()
            finally:
                self._nursery = None

    def _start_helpers(self, nursery: trio.Nursery) -> None:
        """What runs beside ports and connections."""
        nursery.start_soon(self._coalescer.run)
        nursery.start_soon(self._certificates.warn_daily)

    def bound_port(self, number: int) -> int | None:
        """The port that is really open for registrations on `number` (another one where that is 0), if any is."""
        port = self._ports.get(number)
        return None if port is None else port.listener.port

    @property
    def connections(self) -> int:
        """How many are open."""
        return self._present

    def traffic(self) -> Traffic:
        """What clients have done so far, those included that are here."""
        ignored, abandoned = self._traffic.ignored, self._traffic.abandoned
        for session in self._sessions:
            ignored += session.ignored
            abandoned += session.abandoned
        return evolve(self._traffic, ignored=ignored, abandoned=abandoned)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is registered and no port is open."""
        return self._registrations.is_empty and not self._ports

    @property
    def registered(self) -> Sequence[str]:
        """What is registered or reserved, each with its workflow and step, for people to read."""
        return [
            f"{claim.registration} by workflow '{claim.owner.workflow}' (step id {claim.owner.step_id})"
            for claim in self._registrations.claims
        ]

    @property
    def closed_ports(self) -> Sequence[int]:
        """Those on which something is registered though they are not open."""
        return [
            port for port in self._registrations.ports if port not in self._ports or self._ports[port].ended.is_set()
        ]

    def ask_to_reconnect(self, why: str) -> int:
        """Ask all clients to connect again that have said they can; how many these are. Synchronous."""
        return sum(session.ask_to_reconnect(why) for session in self._sessions)

    def expect(self, registration: Registration) -> Callable[[], None]:
        """Have clients of open ports wait for what a step will `serve` that starts; returns what ends that."""
        return partial(self._registrations.forget, self._registrations.expect(registration))

    @asynccontextmanager
    async def serve(
        self, registration: Registration, claimant: Claimant, handler: PublishHandler | WatchHandler
    ) -> AsyncIterator[Service]:
        """Serve clients as long as the block runs; from the step's commitment on, which the workflow makes in its swap.

        When it ends, its clients are disconnected and gone, and the port is free if nobody else uses it.
        Raises `StepError` where the registration is taken, the port cannot be opened, or RTMPS has no certificate.
        """
        endpoint = Endpoint(claimant, handler)
        claim = self._registrations.reserve(registration, claimant, endpoint, claimant.is_leaving)
        try:
            if registration.tls:
                await self._gate.require_tls()
            self._open(registration.port)
            claimant.reserve(_ReservedClaim(self._registrations, claim))
            yield Service(claim)
        finally:
            self._registrations.release(claim)
            await endpoint.dismiss_all()
            await self._close_if_unused(registration.port)

    def find(self, role: Role, port: int, app: str, key: str) -> Claim[Endpoint] | None:
        """Who serves a client whose connection is not encrypted; see `Registrations.find`."""
        return self._registrations.find(role, port, app, key)

    async def reload_certificates(self) -> None:
        """Read the certificate for RTMPS again, now; nobody is disconnected. The log says what came of it."""
        await self._certificates.reload()

    # Ports.

    def _open(self, number: int) -> None:
        if number in self._ports:
            return
        if self._nursery is None:
            raise StepError("the server does not run (any more)")
        try:
            listener = self._network.listen(self._host, number)
        except OSError as error:
            kind = PortTaken if error.errno == errno.EADDRINUSE else StepError
            raise kind(f"port {number} cannot be opened: {error.strerror or error}") from error
        listener.on_pause = partial(self.rejections.count, RejectReason.NO_FILES)
        port = self._ports[number] = _Port(number, listener)
        log.info("port opened", port=listener.port)
        self._nursery.start_soon(self._accept, port)

    async def _accept(self, port: _Port) -> None:
        structlog.contextvars.clear_contextvars()  # of the step that happened to open the port
        try:
            with port.scope:
                async with trio.open_nursery() as nursery:
                    while True:
                        transport = await port.listener.accept()
                        if self._limiter.enter():
                            self._present += 1
                            self._traffic.accepted += 1
                            nursery.start_soon(self._serve_client, transport, port.number)
                        else:
                            self.rejections.count(RejectReason.TOO_MANY)
                            transport.close()
        finally:
            port.listener.close()
            port.ended.set()

    async def _serve_client(self, transport: Transport, port: int) -> None:
        """The wall around a connection: a fault of ours in one must not end the others."""
        structlog.contextvars.bind_contextvars(connection=name_of(transport))
        try:
            transport = await self._balancers.look_behind(transport)
            structlog.contextvars.bind_contextvars(connection=name_of(transport))
            with self._limiter.one_of(transport.peer_host) as has_room:
                if has_room:
                    await self._converse(transport, port)
                else:
                    self.rejections.count(RejectReason.TOO_MANY_OF_ONE_IP)
                    transport.close()
        except* HeaderRefused as group:
            self._say_why(group, RejectReason.PROXY_HEADER)
        except* HandshakeFailed as group:
            self._say_why(group, RejectReason.TLS_HANDSHAKE)
        except* Exception:
            log.exception("connection crashed")
        finally:
            self._limiter.leave()
            self._present -= 1

    def _say_why(self, group: BaseExceptionGroup[Exception], guard: RejectReason) -> None:
        self.rejections.count(guard)
        log.info("connection closes", reason=str(group.exceptions[0]))

    async def _converse(self, transport: Transport, port: int) -> None:
        """Serve a client that may be here."""
        tls = self._registrations.wants_tls(port)
        transport = await self._gate.admit(transport, port, tls)
        entrance = Entrance(self._registrations, tls)
        session = RtmpSession(
            transport,
            port,
            entrance,
            self.publisher_timeout,
            self.rejections,
            self._entropy,
            self._traffic,
            self._coalescer,
            self._bounds,
            "rtmps" if tls else "rtmp",
        )
        self._sessions[session] = None
        try:
            await session.run()
        finally:
            del self._sessions[session]

    async def _close_if_unused(self, number: int) -> None:
        port = self._ports.get(number)
        if port is None or self._registrations.uses_port(number):
            return
        del self._ports[number]
        port.scope.cancel()  # first, so that the accepting task hears of this and not of a socket closed under it
        port.listener.close()
        log.info("port closed", port=port.listener.port)
        with trio.move_on_after(CLOSE_SECONDS, shield=True):
            await port.ended.wait()
