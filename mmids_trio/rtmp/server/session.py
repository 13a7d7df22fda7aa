"""One RTMP client's connection: reads its bytes, answers them, keeps time, and says goodbye.

Everything that is sent goes through one `Output` (which sends in the background what the socket does not take), so
that answers, approvals and media of different tasks never meet in the middle of a message.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from math import inf

import structlog
import trio
from attrs import define, field

from mmids_trio.addresses import source_of
from mmids_trio.errors import ProtocolError
from mmids_trio.fanout.output import Output, OutputEnd
from mmids_trio.media_memory import MediaHolding, MediaOwner
from mmids_trio.net.limits import TokenBucket
from mmids_trio.net.read_coalescer import ReadCoalescer
from mmids_trio.net.transport import SocketTransport, Transport
from mmids_trio.rejections import RejectCounters, RejectReason
from mmids_trio.rtmp.protocol import events as said
from mmids_trio.rtmp.protocol.limits import MAX_TALK_BURST, MAX_TALK_RATE
from mmids_trio.rtmp.protocol.message import VIDEO
from mmids_trio.rtmp.protocol.oddities import Oddities, OddityTotals, no_oddities
from mmids_trio.rtmp.protocol.outgoing import play_stop
from mmids_trio.rtmp.protocol.requests import ConnectRequest
from mmids_trio.rtmp.protocol.server_connection import ConnectionPhase, ServerConnection
from mmids_trio.rtmp.server.activities import Activities, Got
from mmids_trio.rtmp.server.endpoints import Directory, Publication, shown
from mmids_trio.rtmp.server.session_bounds import SessionBounds

log = structlog.get_logger()

READ_SIZE = 64 * 1024
"""Bytes per read: more than a frame at usual bitrates; larger ones make the allocator map memory each time."""

SMALL_READ = READ_SIZE // 2
"""Bytes below which a read has taken all that was there, also from TLS, which needs some of them for itself."""

RESTING_SECONDS = 0.25
"""Without a byte, after which a publisher that is read in turns goes back to its own task, which waits for as long as
it may be silent."""

SOUND_BYTES, SOUND_WAITS_SECONDS = 1024, 0.030
"""Fewer than a frame of video has, as a rule: one that is read in turns is not read for so little before so long."""

ALONE_WAITS_SECONDS = 0.045
"""For how long so little waits in the system for what comes behind it, of one that is read by its own task: somewhat
longer than a frame takes, at 25 a second. Each read wakes a server at rest."""

SMALL_FRAMES_SECONDS = 10.0
"""For how long a publisher is read at once whose frames of video were found to wait, as they are smaller than that."""

HANDSHAKE_SECONDS = 10.0
"""From the connection to the end of the handshake."""

IDLE_SECONDS = 30.0
"""How long a connection may neither publish, play nor wait for an approval."""

PING_SECONDS = 30.0
"""Silence after which a watcher is pinged; nginx-rtmp does so after 60, and some routers forget after that."""

LEAST_BYTES_PER_SECOND = 1024
"""How fast a message that a publisher has begun must come to count against its silence: less than any audio takes."""

MAX_FRAME_SECONDS = 120.0
"""What a message under way adds to a publisher's time at most: the largest there is at 1 Mbit/s."""

MESSAGE_SECONDS = 30.0
"""From the beginning to the end of a message of a client that does not publish: it is a command, in some packets."""

MAX_UNANSWERED_PINGS = 2
"""Pings without any answer after which a watcher that gets no media is given up; nginx-rtmp waits for 30 s as well."""


@define(eq=False)
class Traffic:
    """Sums over all connections; `ignored` and `abandoned` only over those that have ended."""

    accepted: int = 0
    """Connections that found room."""
    received_bytes: int = 0
    ignored: int = 0
    """Media and data messages that belonged to no stream that was being published."""
    abandoned: int = 0
    """Messages that were begun and not finished."""
    oddities: OddityTotals = field(factory=no_oddities)
    """What clients said against the form."""


UNFINISHED = (f"a message was not finished within {MESSAGE_SECONDS:.0f} seconds", RejectReason.UNFINISHED_FOR_LONG)

RANKS = tuple(Got)
"""What a read brought, the least first."""


ENDS = {
    OutputEnd.STALLED: RejectReason.STALLED,
    OutputEnd.TOO_SLOW: RejectReason.TOO_SLOW,
    OutputEnd.FLOODED: RejectReason.REPLIES_UNREAD,
}
"""What the ends of outputs are counted as; a connection that broke is nobody's offence."""


def name_of(transport: Transport) -> str:
    """What a connection is called in the log."""
    host = f"[{transport.peer_host}]" if ":" in transport.peer_host else transport.peer_host
    return f"{host}:{transport.peer_port}"


@define(eq=False)
class RtmpSession:
    """One connection, from its acceptance to its end; `run` owns the transport.

    `publisher_timeout`: seconds without a frame after which a publisher is disconnected.  `entropy`: so many
    random bytes.
    """

    transport: Transport
    port: int
    directory: Directory
    publisher_timeout: float
    rejections: RejectCounters = field(factory=RejectCounters)
    entropy: Callable[[int], bytes] = os.urandom
    traffic: Traffic = field(factory=Traffic)
    """Where it counts."""
    coalescer: ReadCoalescer = field(factory=ReadCoalescer)
    """When it is read, as long as it publishes."""
    bounds: SessionBounds = field(factory=SessionBounds)
    protocol: str = "rtmp"
    """Or `rtmps`."""
    _connection: ServerConnection = field(init=False)
    _output: Output = field(init=False)
    _activities: Activities = field(init=False)
    _life: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _has_ended: bool = field(default=False, init=False)
    """Whether its life is cancelled. The scope would look at the clock for each who asks, as it may have a deadline."""
    _patience: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    """Around the wait for the next bytes; what the client does decides how long that may take."""
    _quiet_since: float = field(factory=trio.current_time, init=False)
    """When the wait for the next bytes (of media, from a publisher) began, or the last ping went out."""
    _bought: float = field(default=0.0, init=False)
    """Seconds that a publisher was given beyond its time since its last frame."""
    _talk: TokenBucket = field(init=False)
    _talked: int = field(default=0, init=False)
    _asked: int = field(default=0, init=False)
    _stuck: int | None = field(default=None, init=False)
    """The unfinished message that it has not gone on from, and since when."""
    _stuck_since: float = field(default=0.0, init=False)
    _unanswered_pings: int = field(default=0, init=False)
    _sent_at_ping: int = field(default=0, init=False)
    _change: trio.Event = field(factory=trio.Event, init=False)
    mark: object = field(factory=object, init=False)
    """See `endpoints.Client`."""
    _holding: MediaHolding = field(init=False)
    _lingers: bool = field(default=False, init=False)
    _may_rest: bool = field(default=False, init=False)
    """Whether it publishes and has nothing more to be read at the moment."""
    _begun: tuple[bytes, list[said.Event]] | None = field(default=None, init=False)
    """What `read_nowait` has read, with the first of what it says, and leaves to the own task."""
    _rests_for: Publication | None = field(default=None, init=False)
    """What `read_nowait` has read for last, also where nothing had come."""
    _has_waited: bool = field(default=False, init=False)
    """Whether the last read had waited for more, which did not come."""
    _small_frames_at: float = field(default=-inf, init=False)
    """When there was a frame of video in such a read last."""
    _troubles: list[Exception] = field(factory=list, init=False)
    """What `read_nowait` met, for the own task to end with: one, or none.

    A list, as who raises it must have no name for it: its traceback would know that, and wait for the collector."""

    def __attrs_post_init__(self) -> None:
        self._connection = ServerConnection(self.entropy, self._refusal_of_connect, Oddities(self.traffic.oddities))
        self._output = Output(self.transport)
        owner = MediaOwner(source_of(self.peer_host), self.mark)
        self._holding = MediaHolding(self.bounds.memory, owner, self._let_go_of_all, ends=True)
        self._talk = TokenBucket(MAX_TALK_BURST, MAX_TALK_RATE, trio.current_time())
        self._activities = Activities(
            client=self,
            port=self.port,
            peer_host=self.transport.peer_host,
            peer_port=self.transport.peer_port,
            protocol=self.protocol,
            on_air=self.bounds.on_air,
            directory=self.directory,
            connection=self._connection,
            output=self._output,
            on_refusal=self._part,
            max_streams=self.bounds.max_streams,
            rejections=self.rejections,
            on_change=self._has_changed,
        )

    async def run(self) -> None:
        """Serve the client until it leaves, breaks the protocol, is silent for too long or is dismissed."""
        try:
            with self._life:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._send)
                    await self._read(nursery)
                    nursery.cancel_scope.cancel()
        finally:
            self._activities.let_go()
            self.coalescer.note(self, publishes=False)
            try:
                await self._output.say_goodbye(lingers=self._lingers)
            finally:
                self.transport.close()
                self._count_what_it_wasted()
                # What follows also breaks the circles of these objects. Else they would wait for the collector, which
                # holds up everybody for the longer the more of them there are.
                self._activities.detach()
                self._output.feed = None
                self._holding.close()
                self._connection.forget()

    @property
    def agent(self) -> str:
        """What program the client says that it is, with what it asked for last."""
        return self._activities.agent

    @property
    def peer_host(self) -> str:
        """See `endpoints.Client`."""
        return self.transport.peer_host

    @property
    def ignored(self) -> int:
        """See `Traffic`."""
        return self._connection.ignored_media

    @property
    def abandoned(self) -> int:
        """See `Traffic`."""
        return self._connection.abandoned_messages

    def _count_what_it_wasted(self) -> None:
        self.traffic.ignored += self.ignored
        self.traffic.abandoned += self.abandoned

    def dismiss(self, reason: str = "what it used has ended") -> None:
        """Disconnect the client because what it uses ends. Synchronous."""
        playing = self._activities.playing
        if playing is not None:
            playing.viewing.channel.discard(playing.subscriber)
            self._output.write(play_stop(playing.stream))
        self._end(reason)

    def ask_to_reconnect(self, why: str) -> bool:
        """Ask a client that publishes or plays to connect again; whether it has said that it can. Synchronous."""
        if self._activities.is_idle or not self._connection.ask_to_reconnect(why):
            return False
        self._reply()
        return True

    def _let_go_of_all(self) -> None:
        """There is no room for what it holds: it goes. Synchronous."""
        self._end("the server has no memory for what it holds")
        self._connection.forget()
        self._holding.resize(0)

    def _part(self, reason: str, guard: RejectReason) -> None:
        """Disconnect a refused client, once it had time to read why: a close may overtake the answer."""
        self._lingers = True
        self._reply()
        self._end(f"refused: {reason}", guard)

    def _end(self, reason: str, guard: RejectReason | None = None) -> None:
        if not self._has_ended:
            if guard is not None:
                self.rejections.count(guard)
            self._activities.why = reason
            # Named here as well, since the task that dismisses a client is not the client's own.
            self._activities.log.info("connection closes", connection=name_of(self.transport), reason=reason)
            self._has_ended = True
            self._life.cancel()

    # Sending.

    async def _send(self) -> None:
        end = await self._output.run()
        self._end(end.value, ENDS.get(end))

    def _reply(self) -> None:
        if data := self._connection.data_to_send():
            self._output.write(data)

    # Receiving.

    async def _read(self, nursery: trio.Nursery) -> None:
        """Until the client leaves or has to."""
        try:
            while (data := await self._receive()) or self._connection.has_due:
                self._unanswered_pings = 0
                self.traffic.received_bytes += len(data)
                begun, self._begun = self._begun, None
                if begun is None:
                    turns = self._connection.receive_in_turns(data)
                else:
                    turns = chain((begun[1],), self._connection.receive_rest())
                    del begun
                if self._has_waited:
                    self._has_waited, turns = False, self._noting_small_frames(turns)
                got = await self._take(turns, nursery)
                if got is None:
                    return
                if not self._has_ended:
                    self._holding.resize(self._connection.held_bytes + self._output.queued_bytes)
                if self._note_message() > MESSAGE_SECONDS:
                    self._end(*UNFINISHED)
                    return
                self._note_life(got, len(data))
                self._may_rest = self._activities.is_publishing and len(data) < SMALL_READ
                del data, turns  # what was read is not kept while the next is waited for
        except ProtocolError as error:
            self._end(f"protocol error: {error}", error.guard)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._end(f"connection lost: {error}")

    def is_worth_reading(self, now: float) -> bool:
        """See `read_coalescer.Resting`."""
        return now - self._quiet_since >= SOUND_WAITS_SECONDS or self.transport.has_arrived(SOUND_BYTES)

    def read_nowait(self, now: float) -> bool:
        """See `read_coalescer.Resting`: what a read brings of a publisher is nearly always frames, for which nothing
        has to wait. Whatever else it is, or goes wrong, is left to the session's own task.

        In the coalescer's task for all, since to wake that of each publisher and have it rest again costs as much as
        what it does (`tests/test_hot_paths.py` counts what is called here).
        """
        publication = self._activities.only_publication
        if publication is None or not publication.takes_now or self._has_ended:
            return False
        try:
            return self._read_for(publication, now)
        except Exception as error:  # whatever goes wrong with one concerns nobody else who is read in this turn
            self._troubles.append(error)
            return False

    def _read_for(self, publication: Publication, now: float) -> bool:
        self._rests_for = publication
        data = self.transport.receive_nowait(READ_SIZE)
        if not data:
            return now - self._quiet_since < RESTING_SECONDS
        events = self._connection.receive_turn(data)
        size = len(data)
        if size >= SMALL_READ or not self._connection.took_frames_alone:
            self._begun = data, events
            return False
        self._unanswered_pings = 0
        self.traffic.received_bytes += size
        got = Got.NO_MEDIA
        for event in events:
            assert isinstance(event, said.MediaReceived)
            got = self._activities.hand_on_nowait(publication, event)
        if self._connection.oddities.untold:
            self._tell_oddities()
        if self._connection.has_answers:
            self._reply()
        held = self._connection.held_bytes + (self._output.queued_bytes if self._output.queue else 0)
        if held != self._holding.size and not self._has_ended:
            self._holding.resize(held)
        self._stuck = None
        if got is Got.FRAME:
            self._quiet_since, self._bought = now, 0.0
            return True
        self._note_life(got, size)
        return now < self._deadline()

    def is_watched(self, now: float) -> bool:
        """See `read_coalescer.Resting`."""
        publication = self._rests_for
        return publication is not None and publication.is_watched(now)

    async def _take(self, turns: Iterable[list[said.Event]], nursery: trio.Nursery) -> Got | None:
        """Act on what was read; the most that it says of the client's life, `None` where the client talks too much.

        A read is 64 KiB at most, but as many as 65,536 messages: others have a turn in between.
        """
        most, is_first = Got.NO_MEDIA, True
        for events in turns:
            if (excess := self._talked_too_much()) is not None:
                self._end("it sent more commands and metadata than anybody needs", excess)
                return None
            began = trio.current_time()
            if not is_first:
                await trio.lowlevel.checkpoint()
            is_first = False
            got = await self._activities.act_on(events, nursery)
            if self._connection.oddities.untold:
                self._tell_oddities()
            self._reply()
            self._quiet_since += trio.current_time() - began  # it waited for the workflow
            most = max(most, got, key=RANKS.index)
        return most

    def _tell_oddities(self) -> None:
        for oddity, detail in self._connection.oddities.take_untold():
            self._activities.log.info(
                "client says something odd", connection=name_of(self.transport), oddity=oddity.value, detail=detail
            )

    def _note_life(self, got: Got, size: int) -> None:
        """What a read of `size` bytes says about whether anything is still to be expected of the client.

        A publisher that only announces frames gets its time once more, and one that is within a message what the
        message needs at a least speed; neither can go on like that for ever.
        """
        if got is Got.FRAME or not self._activities.is_publishing:
            self._quiet_since, self._bought = trio.current_time(), 0.0
        elif got is Got.ANNOUNCEMENT:
            waited = trio.current_time() - self._quiet_since
            self._bought = max(self._bought, min(waited, self.publisher_timeout))
        elif self._connection.is_within_message:
            self._bought = max(self._bought, min(self._bought + size / LEAST_BYTES_PER_SECOND, MAX_FRAME_SECONDS))

    def _talked_too_much(self) -> RejectReason | None:
        """What the client is to be counted as, if it has said too much.

        What its address may say binds only those who are not inside: others of the address cannot harm who publishes
        or plays.
        """
        connection = self._connection
        talked, self._talked = connection.talk - self._talked, connection.talk
        if not talked:
            return None
        now = trio.current_time()
        asked, self._asked = connection.asked - self._asked, connection.asked
        of_address = not asked or self.bounds.talk.spend(self.peer_host, asked, now)
        if not self._talk.spend(talked, now):
            return RejectReason.TALKATIVE
        is_inside = self._activities.is_publishing or self._activities.playing is not None
        return None if of_address or is_inside else RejectReason.TALKATIVE_IP

    def _note_message(self) -> float:
        """For how long the client has been within one message; 0 for a publisher, who has another limit."""
        oldest = None if self._activities.is_publishing else self._connection.oldest_unfinished
        if oldest is None:
            self._stuck = None
            return 0.0
        if oldest != self._stuck:
            self._stuck, self._stuck_since = oldest, trio.current_time()
        return trio.current_time() - self._stuck_since

    async def _receive(self) -> bytes:
        """The next bytes, once it is this client's turn; `b""` when no more come or silence has lasted too long.

        Also `b""` where media of before is due: an end of the connection comes once more, after that was taken.
        Only waiting here counts as silence of the client: not the time before, in which its media waited for the
        workflow.  Bytes that came in time count however late we get to read them, when the machine stood still, say.
        """
        if self._may_rest and await self.coalescer.rest(self):
            if self._troubles:
                raise self._troubles.pop()
            self._rests_for = None
            if data := self._begun[0] if self._begun is not None else self.transport.receive_nowait(READ_SIZE):
                return data
        while not self._connection.has_due:
            room = self._connection.room
            if not room:
                await self._wait_for_answer()
                continue
            with trio.CancelScope(deadline=self._deadline()) as self._patience:
                try:
                    return await self._next_bytes(min(room, READ_SIZE))
                except trio.BrokenResourceError:
                    if not self._connection.has_due:
                        raise
            if not self._connection.has_due and (offence := self._outlast_silence()) is not None:
                self._end(*offence)
                break
        return b""

    async def _next_bytes(self, max_bytes: int) -> bytes:
        """What arrives next; `b""` at the end. A little sound of a publisher waits for the frame behind it."""
        transport = self.transport
        if isinstance(transport, SocketTransport) and self._sound_may_wait:
            data = await transport.receive_together(max_bytes, SOUND_BYTES, ALONE_WAITS_SECONDS)
            if data:
                self._has_waited = len(data) < SOUND_BYTES
                return data
        return await transport.receive_some(max_bytes)

    @property
    def _sound_may_wait(self) -> bool:
        """Whether so little that comes next is sound: not the rest of a message, and no frames as small as that."""
        return (
            self._may_rest
            and self.coalescer.is_merging
            and not self._connection.is_within_message
            and trio.current_time() - self._small_frames_at >= SMALL_FRAMES_SECONDS
        )

    def _noting_small_frames(self, turns: Iterable[list[said.Event]]) -> Iterator[list[said.Event]]:
        """`turns`, and whether there is a frame of video among what has waited for one."""
        for events in turns:
            if any(
                message.type_id == VIDEO
                for event in events
                if isinstance(event, said.MediaReceived)
                for message in event.messages
            ):
                self._small_frames_at = trio.current_time()
            yield events

    async def _wait_for_answer(self) -> None:
        """Do not read on: the client sends its media without waiting for the answer, and holds as much as it may."""
        self._change = trio.Event()
        await self._change.wait()

    def _has_changed(self) -> None:
        """The client does something else now."""
        self._change.set()
        self.coalescer.note(self, publishes=self._activities.is_publishing)
        self._patience.deadline = self._deadline()

    def _deadline(self) -> float:
        """Until when the next bytes have to come: not at all, where media of before is due."""
        activities = self._activities
        if self._connection.has_due:
            return -inf
        if self._connection.phase is ConnectionPhase.HANDSHAKE:
            return activities.changed_at + HANDSHAKE_SECONDS
        if activities.is_idle:
            return activities.changed_at + IDLE_SECONDS
        patience = self.publisher_timeout + self._bought if self._may_be_too_silent else PING_SECONDS
        deadline = max(self._quiet_since, activities.changed_at) + patience
        if self._stuck is None or activities.is_publishing:
            return deadline
        return min(deadline, self._stuck_since + MESSAGE_SECONDS)

    @property
    def _may_be_too_silent(self) -> bool:
        """Whether it publishes, and may not be silent for as long as it likes."""
        return self._activities.is_publishing and self.publisher_timeout < inf

    def _outlast_silence(self) -> tuple[str, RejectReason] | None:
        """Why the connection ends with the silence; `None` where it does not."""
        if self._connection.phase is ConnectionPhase.HANDSHAKE:
            return f"no handshake within {HANDSHAKE_SECONDS:.0f} seconds", RejectReason.HANDSHAKE_SLOW
        if self._activities.is_idle:
            return f"it neither published nor played for {IDLE_SECONDS:.0f} seconds", RejectReason.IDLE
        if self._may_be_too_silent:
            return f"the publisher was silent for {self.publisher_timeout:.0f} seconds", RejectReason.SILENT_PUBLISHER
        if self._stuck is not None and trio.current_time() >= self._stuck_since + MESSAGE_SECONDS:
            return UNFINISHED
        return self._ping()

    def _ping(self) -> tuple[str, RejectReason] | None:
        """Ask a watcher whether it is there; why the connection ends where it has not answered for too long.

        A publisher that may be silent is asked too, so that the system notices when it is gone, and need not answer.
        """
        takes_media = self._output.bytes_sent > self._sent_at_ping or self._activities.is_publishing
        if self._unanswered_pings >= MAX_UNANSWERED_PINGS and not takes_media:
            return f"no answer to {MAX_UNANSWERED_PINGS} pings", RejectReason.NO_PONG
        self._unanswered_pings += 1
        self._quiet_since = trio.current_time()
        self._connection.ping(int(self._quiet_since * 1000))
        self._reply()
        self._sent_at_ping = self._output.bytes_sent
        return None

    def _refusal_of_connect(self, request: ConnectRequest) -> str | None:
        if self.directory.has_application(self.port, request.app):
            return None
        return f"Application {shown(request.app)} is not served on port {self.port}."
