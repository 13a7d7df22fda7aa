"""What RTMP sessions and the steps that serve them want of each other, and which step serves a client."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import trio
from attrs import define, evolve, field, frozen

from mmids_trio.addresses import AddressRules
from mmids_trio.errors import MmidsError, shortened
from mmids_trio.fanout.channel import Channel
from mmids_trio.media.events import MediaEvent, StreamId
from mmids_trio.on_air.bans import Bans
from mmids_trio.on_air.directory import OnAir
from mmids_trio.rejections import RejectReason
from mmids_trio.reservation import Reservation
from mmids_trio.rtmp.protocol.requests import PlayRequest, PublishRequest, Query
from mmids_trio.rtmp.server.registrations import Claim, Expectation, Registrant, Role

ADMISSION_SECONDS = 60.0
"""How long a client waits while what it asks for only starts (the specification's bound for any approval)."""

UNKNOWN = {Role.PUBLISH: "NetStream.Publish.BadName", Role.WATCH: "NetStream.Play.StreamNotFound"}

DENIED = {Role.PUBLISH: "NetStream.Publish.Denied", Role.WATCH: "NetStream.Play.Failed"}
"""Status codes for who asks for what nobody has, and for who may not have it."""

DISMISS_SECONDS = 2.0
"""How long the clients of a step that ends may take to leave; each one's goodbye is bounded more tightly."""


NO_QUERY = Query()


class RequestRefused(MmidsError):
    """A client may not do what it asked for; `code` is the RTMP status code for it, `guard` what it is counted as."""

    def __init__(self, code: str, description: str, guard: RejectReason = RejectReason.OTHER_REFUSAL) -> None:
        super().__init__(description)
        self.code = code
        self.guard = guard


class Publication(Protocol):
    """One publisher's stream, on its way into a workflow."""

    @property
    def stream_id(self) -> StreamId:
        """What the stream is called in media events."""

    @property
    def token(self) -> str | None:
        """The name of what let it in, never the token itself."""

    async def send(self, events: Sequence[MediaEvent]) -> None:
        """Hand on media; waits while the workflow is busy (back-pressure)."""

    @property
    def takes_now(self) -> bool:
        """Whether `send` would not have to wait."""

    def is_watched(self, now: float) -> bool:
        """Whether anybody gets what it sends as soon as it comes."""

    def send_nowait(self, events: Sequence[MediaEvent]) -> None:
        """As `send`, in no time; only where it `takes_now`."""

    def end(self) -> None:
        """The publisher says that it is done. Synchronous; repeating it does nothing."""

    def vanish(self) -> None:
        """The publisher's connection is gone, without such a word. Synchronous; repeating it does nothing."""


class Client(Protocol):
    """A connected session, as its endpoint sees it."""

    @property
    def peer_host(self) -> str:
        """The address that it comes from."""

    @property
    def mark(self) -> object:
        """Stands for the connection where its bytes are counted: what outlives a session must not keep it alive."""

    def dismiss(self, reason: str = ...) -> None:
        """Say goodbye and disconnect; the log has the reason.

        Synchronous; the session leaves its endpoints when it is gone.
        """


class PublishHandler(Protocol):
    """A step that takes publishers."""

    async def publish(self, key: str, client: Client, query: Query = NO_QUERY) -> Publication:
        """Start the stream of a publisher, once it is approved; raises `RequestRefused`.

        `query` is what stood behind the `?` of application and key.
        """


class Viewing(Protocol):
    """One watcher's place in front of a channel."""

    @property
    def channel(self) -> Channel:
        """Where the watcher gets its media; it may wait there for a stream to begin."""

    @property
    def token(self) -> str | None:
        """The name of what let it in, never the token itself."""

    def end(self) -> None:
        """The watcher is gone. Synchronous; repeating it does nothing."""


class WatchHandler(Protocol):
    """A step that serves watchers."""

    async def watch(self, key: str, client: Client, query: Query = NO_QUERY) -> Viewing:
        """Let a watcher in, once it is approved; raises `RequestRefused`. `query` is as for publishers."""


class Claimant(Protocol):
    """The step that registers, as far as the server needs to know it."""

    @property
    def workflow(self) -> str:
        """Name of its workflow."""

    @property
    def step_id(self) -> str:
        """Its identity within the workflow."""

    def is_leaving(self, workflow: str, step_id: str) -> bool:
        """Whether that step gives way to the change that starts this one."""

    def reserve(self, reservation: Reservation) -> None:
        """Have `reservation` committed in the swap of the change that starts this step."""


@define(eq=False)
class Endpoint:
    """One step's registration at work: who serves it, and which sessions use it."""

    owner: Registrant
    handler: PublishHandler | WatchHandler
    _clients: set[Client] = field(factory=set, init=False)
    _left: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)

    @property
    def clients(self) -> Sequence[Client]:
        """Those who use it, or wait to."""
        return list(self._clients)

    def attach(self, client: Client) -> None:
        """A session begins to use the endpoint."""
        self._clients.add(client)

    def detach(self, client: Client) -> None:
        """A session has let go of it, with all that it had."""
        self._clients.discard(client)
        self._left.unpark_all()

    async def dismiss_all(self) -> None:
        """Disconnect every client and wait, for `DISMISS_SECONDS` at most, until all are gone."""
        for client in self.clients:
            client.dismiss()
        with trio.move_on_after(DISMISS_SECONDS, shield=True):
            while self._clients:
                await self._left.park()


@frozen(eq=False)
class Service:
    """What a step serves, as long as it does."""

    claim: Claim[Endpoint]

    def take_rules(self, rules: AddressRules) -> Callable[[], None]:
        """Let clients in by these rules from now on; returns what takes that back. Nobody who is here is cut."""
        before = self.claim.registration
        self.claim.registration = evolve(before, rules=rules)
        return partial(setattr, self.claim, "registration", before)

    def dismiss_excluded(self) -> None:
        """Disconnect every client whom the rules do not permit. Synchronous."""
        rules = self.claim.registration.rules
        for client in self.claim.endpoint.clients:
            if not rules.permit(client.peer_host):
                client.dismiss("its address is not allowed any more")


def shown(name: str) -> str:
    """A name that a client made up, as messages quote it."""
    return f"'{shortened(name)}'"


class Directory(Protocol):
    """Who serves what, as far as a session needs it."""

    def find(self, role: Role, port: int, app: str, key: str) -> Claim[Endpoint] | None:
        """See `Registrations.find`."""

    def expected(self, role: Role, port: int, app: str, key: str) -> Expectation | None:
        """See `Registrations.expected`."""

    def has_application(self, port: int, app: str) -> bool:
        """See `Registrations.has_application`."""


def refuse_while_draining(on_air: OnAir) -> None:
    """Raises `RequestRefused` for who would publish to a server that is being emptied."""
    if not on_air.takes_publishers:
        what = "this server is being emptied; connect again, to be sent to another one"
        raise RequestRefused(DENIED[Role.PUBLISH], what, RejectReason.DRAINING)


def refuse_banned(bans: Bans, role: Role, request: PublishRequest | PlayRequest, peer_host: str) -> None:
    """Raises `RequestRefused` for who may not come back yet. Once more when a client is let in: it may have waited."""
    if bans.of_address(peer_host) is not None:
        raise RequestRefused(DENIED[role], f"{peer_host} is banned", RejectReason.BANNED)
    if role is Role.PUBLISH and bans.of_stream(request.app, request.key) is not None:
        what = f"stream key {shown(request.key)} of application {shown(request.app)} is banned"
        raise RequestRefused(DENIED[role], what, RejectReason.BANNED)


async def admit(
    directory: Directory,
    role: Role,
    port: int,
    request: PublishRequest | PlayRequest,
    peer_host: str,
    *,
    bans: Bans,
) -> Endpoint:
    """The endpoint that serves `request`; waits while a change that is under way has reserved it, or will.

    Raises `RequestRefused`.
    """
    if not request.key:  # a step for any key would take it, and nobody would ever find the other
        what = "the URL has no stream key; expected rtmp://HOST/APPLICATION/KEY"
        raise RequestRefused(UNKNOWN[role], what, RejectReason.UNKNOWN_NAME)

    def look() -> Endpoint | Claim[Endpoint] | Expectation:
        """Who serves it, or what has to be waited for."""
        claim = directory.find(role, port, request.app, request.key)
        if claim is None:
            if expected := directory.expected(role, port, request.app, request.key):
                return expected
            what = f"application {shown(request.app)} has no stream key {shown(request.key)} for {role.value}"
            raise RequestRefused(UNKNOWN[role], what, RejectReason.UNKNOWN_NAME)
        if not claim.registration.rules.permit(peer_host):
            raise RequestRefused(DENIED[role], f"{peer_host} is not allowed here", RejectReason.ADDRESS)
        refuse_banned(bans, role, request, peer_host)
        return claim.endpoint if claim.committed else claim

    found = look()
    if isinstance(found, Endpoint):  # as a rule: no time to be limited
        return found
    with trio.move_on_after(ADMISSION_SECONDS):
        while not isinstance(found, Endpoint):
            await _settled(found)
            found = look()
        return found
    raise RequestRefused(DENIED[role], f"{shown(request.key)} was not ready within {ADMISSION_SECONDS:.0f} seconds")


async def _settled(awaited: Claim[Endpoint] | Expectation) -> None:
    """Wait until a reservation has become the claim, or was given up."""
    settled = trio.Event()
    awaited.on_settled.append(settled.set)
    try:
        await settled.wait()
    finally:
        if settled.set in awaited.on_settled:  # the client has lost patience: it may ask again and again
            awaited.on_settled.remove(settled.set)
