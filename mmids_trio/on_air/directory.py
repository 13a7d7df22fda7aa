"""The one directory of a server's streams and clients: who begins tells it, who ends tells it, and nobody is searched.

Pure, and fed synchronously. What changes with every packet is not told: it is asked for when somebody looks, by
functions that an entry holds until it ends.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Literal, Protocol

from attrs import define, field, frozen

from mmids_trio.errors import shortened
from mmids_trio.media.events import StreamId
from mmids_trio.on_air.bans import Bans
from mmids_trio.on_air.meters import StreamMeter, nobody_hears
from mmids_trio.on_air.views import Asked, ClientNow, ClientView, Peer, SourceView, StreamNow, StreamView, StreamWarning
from mmids_trio.on_air.warnings import warnings_of

Troubles = Callable[[StreamId], Iterable[StreamWarning]]
"""What is wrong with a stream where it goes."""

SendAway = Callable[[str], None]
"""Ends a stream or disconnects a client; the log has the reason. Synchronous, may be repeated."""

_ID = re.compile(r"[sc]-([0-9a-f]*)-([0-9]{1,18})", re.ASCII)


class Listener(Protocol):
    """Who hears at once of who comes, who leaves and what becomes another one. It must neither wait nor raise."""

    def joined(self, client: "ClientEntry") -> None:
        """A client was let in."""

    def left(self, client: "ClientEntry", last: ClientNow, seconds: float, why: str) -> None:
        """A client has left, after so long; `last`: how it was."""

    def changed(self, stream: "StreamEntry", kind: Literal["video", "audio"]) -> None:
        """One kind of media of a stream is described otherwise than before: another size, codec or rate."""


class Nobody:
    """Where nobody listens."""

    def joined(self, client: "ClientEntry") -> None:
        """See `Listener`."""

    def left(self, client: "ClientEntry", last: ClientNow, seconds: float, why: str) -> None:
        """See `Listener`."""

    def changed(self, stream: "StreamEntry", kind: Literal["video", "audio"]) -> None:
        """See `Listener`."""


class Owner(Protocol):
    """The step that something belongs to, whose id may change while it is here."""

    @property
    def workflow(self) -> str:
        """Name of its workflow."""

    @property
    def step_id(self) -> str:
        """Its identity within the workflow."""


@define(eq=False, kw_only=True)
class StreamEntry:
    """A stream that is here; `told` and `send_away` are the step's.

    Times are of the clock that the meter is told. `send_away` is `None` where it ends with its step alone.
    """

    number: int
    id: str
    stream_id: StreamId
    name: str
    owner: Owner
    since: str
    began_at: float
    told: Callable[[], StreamNow]
    send_away: SendAway | None
    meter: StreamMeter = field(factory=StreamMeter)
    source: "ClientEntry | Callable[[], SourceView | None] | None" = None
    """Whose media it is, or was last; or what says so."""
    app: str | None = None
    """Under which it is published, where it is."""
    made_from: str | None = None
    clocks_set: int = 0
    clock_set_at: float | None = None
    """See `views.StreamView`."""
    _covers: set[object] = field(factory=set, init=False)

    def cover(self, by: object, *, covered: bool) -> None:
        """Something else is sent in its place, or it is itself again; `by`: who sends that."""
        if covered:
            self._covers.add(by)
        else:
            self._covers.discard(by)

    def now(self, time: float) -> StreamNow:
        """How it is: what its step says, unless nothing comes, or something else is sent instead."""
        now = self.told()
        if self._covers:
            return StreamNow("slate", now.seconds_left)
        last = self.began_at if self.meter.last_at is None else self.meter.last_at
        if now.state in ("live", "backup") and time - last >= now.stalls_after:
            return StreamNow("stalled")
        return now

    def source_view(self) -> SourceView | None:
        """Where it comes from."""
        if isinstance(self.source, ClientEntry):
            return self.source.as_source()
        return None if self.source is None else self.source()

    def view(self, time: float, watchers: int, troubles: Sequence[StreamWarning] = ()) -> StreamView:
        """As it is. `troubles`: what is wrong where it goes."""
        now = self.now(time)
        return StreamView(
            id=self.id,
            name=shortened(self.name),
            workflow=self.owner.workflow,
            step_id=self.owner.step_id,
            state=now.state,
            seconds_left=now.seconds_left,
            since=self.since,
            bytes=self.meter.bytes,
            watchers=watchers,
            made_from=self.made_from,
            clocks_set=self.clocks_set,
            sound_offset_ms=self.meter.sound_offset_ms,
            source=self.source_view(),
            tracks=self.meter.tracks(time),
            warnings=(*warnings_of(self.meter, self.clock_set_at, time), *troubles),
        )


@frozen(kw_only=True)
class ClientSource:
    """Where what is asked of a client comes from."""

    stream_id: Callable[[], StreamId | None]
    now: Callable[[], ClientNow]
    send_away: SendAway


@define(eq=False, kw_only=True)
class ClientEntry:
    """A client that is here. `live` is `None` once it has left, so that nothing keeps its connection alive."""

    number: int
    id: str
    peer: Peer
    asked: Asked
    owner: Owner
    since: str
    joined_at: float
    live: ClientSource | None

    def as_source(self) -> SourceView:
        """For the stream that it publishes, or did."""
        peer = self.peer
        gone = self.live is None
        place = peer.protocol, peer.address, peer.port, peer.agent
        return SourceView(None if gone else self.id, *place, token=self.asked.token)


@define(eq=False)
class OnAir:
    """See the module. `nonce`: hexadecimal digits that no other run of a server has, so no id of one names somebody of
    the next. `calendar`: what time it is, as RFC 3339 has it.

    A way in for another protocol tells of each client with `join` and `leave`. A step that brings streams in need not
    tell of them: its outlet does (`workflow.brought_streams`), unless it has told of the stream before (`begin`).
    """

    nonce: str = ""
    calendar: Callable[[], str] = field(default=lambda: "1970-01-01T00:00:00.000Z")
    clock: Callable[[], float] = field(default=lambda: 0.0)
    """Seconds, as meters are told them."""
    bans: Bans = field(factory=Bans)
    """Who may not come back."""
    listener: Listener = field(factory=Nobody)
    takes_publishers: bool = field(default=True, init=False)
    """Whether anybody may begin to publish; not where a server is being emptied."""
    _outputs: dict[str, dict[Owner, Troubles]] = field(factory=dict, init=False)
    """By workflow: steps that say what is wrong with streams that they send on."""
    _count: int = field(default=0, init=False)
    _streams: dict[str, StreamEntry] = field(factory=dict, init=False)
    _by_stream_id: dict[StreamId, StreamEntry] = field(factory=dict, init=False)
    _clients: dict[str, ClientEntry] = field(factory=dict, init=False)

    # What begins and ends.

    def begin(
        self,
        stream_id: StreamId,
        name: str,
        owner: Owner,
        now: Callable[[], StreamNow],
        *,
        send_away: SendAway | None = None,
        source: Callable[[], SourceView | None] | None = None,
        app: str | None = None,
        made_from: StreamEntry | None = None,
    ) -> StreamEntry:
        """A stream has begun. What it is `made_from` has its watchers too, if it has the same id of media."""
        number, name_of_it = self._number("s")
        entry = StreamEntry(
            number=number,
            id=name_of_it,
            stream_id=stream_id,
            name=name,
            owner=owner,
            since=self.calendar(),
            began_at=self.clock(),
            told=now,
            send_away=send_away,
            source=source,
            app=app,
            made_from=None if made_from is None else made_from.id,
        )
        entry.meter.on_change = partial(self.listener.changed, entry)
        self._streams[entry.id] = entry
        if made_from is None or made_from.stream_id != stream_id:
            self._by_stream_id[stream_id] = entry
        return entry

    def end(self, entry: StreamEntry) -> None:
        """A stream has ended. Repeating it does nothing."""
        self._streams.pop(entry.id, None)
        if self._by_stream_id.get(entry.stream_id) is entry:  # and not of another that was given the same
            del self._by_stream_id[entry.stream_id]
        entry.meter.on_change = nobody_hears  # else the entry knows itself, and waits for the collector

    def join(self, peer: Peer, asked: Asked, owner: Owner, source: ClientSource) -> ClientEntry:
        """A client has been let in; a publisher is the source of its stream from now on."""
        number, name = self._number("c")
        shown = Peer(peer.protocol, peer.address, peer.port, shortened(peer.agent))
        wanted = Asked(asked.role, shortened(asked.app), shortened(asked.key), asked.token)
        entry = ClientEntry(
            number=number,
            id=name,
            peer=shown,
            asked=wanted,
            owner=owner,
            since=self.calendar(),
            joined_at=self.clock(),
            live=source,
        )
        self._clients[entry.id] = entry
        if asked.role == "publisher" and (stream := self.stream_of(source.stream_id())) is not None:
            if stream.source is not None:
                stream.meter.restart()
            stream.source = entry
        self.listener.joined(entry)
        return entry

    def leave(self, entry: ClientEntry, why: str = "it left") -> None:
        """A client has left. Repeating it does nothing."""
        live = entry.live
        if self._clients.pop(entry.id, None) is not None and live is not None:
            self.listener.left(entry, live.now(), self.clock() - entry.joined_at, why)
        entry.live = None

    def _number(self, kind: str) -> tuple[int, str]:
        self._count += 1
        return self._count, f"{kind}-{self.nonce}-{self._count}"

    # Where streams go.

    def add_output(self, owner: Owner, troubles: Troubles) -> Callable[[], None]:
        """A step says from now on what is wrong with a stream that it sends on; returns what ends that."""
        workflow = owner.workflow
        self._outputs.setdefault(workflow, {})[owner] = troubles

        def remove() -> None:
            of_workflow = self._outputs.get(workflow, {})
            of_workflow.pop(owner, None)
            if not of_workflow:
                self._outputs.pop(workflow, None)

        return remove

    def troubles(self, entry: StreamEntry) -> Sequence[StreamWarning]:
        """What is wrong with a stream where steps of its workflow send it on."""
        outputs = self._outputs.get(entry.owner.workflow, {})
        return [warning for troubles in outputs.values() for warning in troubles(entry.stream_id)]

    # What is asked.

    def stream(self, name: str) -> StreamEntry | None:
        """The stream of that id."""
        return self._streams.get(name)

    def client(self, name: str) -> ClientEntry | None:
        """The client of that id."""
        return self._clients.get(name)

    def stream_of(self, stream_id: StreamId | None) -> StreamEntry | None:
        """The stream that media of that id belong to."""
        return None if stream_id is None else self._by_stream_id.get(stream_id)

    def clock_was_set(self, stream_id: StreamId) -> None:
        """The clock of a stream's source was found to be another one."""
        if (stream := self._by_stream_id.get(stream_id)) is not None:
            stream.clocks_set += 1
            stream.clock_set_at = self.clock()

    def bytes_of(self, stream_id: StreamId) -> int:
        """What has come of a stream; 0 for one that is over."""
        stream = self._by_stream_id.get(stream_id)
        return 0 if stream is None else stream.meter.bytes

    def place_of(self, name: str) -> int | None:
        """What an id, also of who has left, says to `streams` and `clients`; `None` where it is none of this run."""
        match = _ID.fullmatch(name)
        if match is None or match[1] != self.nonce or not 0 < (number := int(match[2])) <= self._count:
            return None
        return number

    def streams(self, after: int = 0) -> Sequence[StreamEntry]:
        """Those that began after a place, the oldest first."""
        return [entry for entry in self._streams.values() if entry.number > after]

    def clients(self, after: int = 0) -> Sequence[ClientEntry]:
        """Those who came after a place, the first first."""
        return [entry for entry in self._clients.values() if entry.number > after]

    def watched(self, found: Counter[str], per_slice: int) -> Iterator[None]:
        """Count how many watch each stream, by its id; let others have a turn at each step of the iterator."""
        for count, entry in enumerate(list(self._clients.values()), 1):
            if entry.asked.role == "watcher" and (stream := self.stream_watched(entry)) is not None:
                found[stream] += 1
            if count % per_slice == 0:
                yield

    def stream_watched(self, entry: ClientEntry) -> str | None:
        """The id of the stream that a client sends or gets now."""
        stream = None if entry.live is None else self.stream_of(entry.live.stream_id())
        return None if stream is None else stream.id

    def view_of(self, entry: ClientEntry) -> ClientView | None:
        """How a client is now; `None` once it has left."""
        if entry.live is None:
            return None
        now = entry.live.now()
        peer, asked = entry.peer, entry.asked
        return ClientView(
            id=entry.id,
            role=asked.role,
            protocol=peer.protocol,
            address=peer.address,
            port=peer.port,
            agent=peer.agent,
            workflow=entry.owner.workflow,
            step_id=entry.owner.step_id,
            app=asked.app,
            name=asked.key,
            stream=self.stream_watched(entry),
            state=now.state,
            since=entry.since,
            bytes=now.bytes,
            lag_ms=now.lag_ms,
            lag_bytes=now.lag_bytes,
            skips=now.skips,
            token=asked.token,
        )
