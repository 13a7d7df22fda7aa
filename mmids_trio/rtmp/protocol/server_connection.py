"""The server's end of one RTMP connection as a state machine: bytes in, events out, bytes out.

    connection = ServerConnection(os.urandom)
    for event in connection.receive_data(data):
        ...                                     # may call connection.accept_publish(request) and the like
    stream.send_all(connection.data_to_send())

It knows no socket and no clock.  There are two machines, one in the other, each a table:

    a connection (`PHASES`)                HANDSHAKE -> CONNECT_AWAITED -> CONNECTED, or REFUSED
    each of its message streams            IDLE -> PUBLISH_REQUESTED -> PUBLISHING -> IDLE
    (`message_streams.TRANSITIONS`)        IDLE -> PLAY_REQUESTED -> PLAYING -> IDLE

Bytes go through the handshake, then through `ChunkReader`, which makes messages of them.  A message is media (into
`MediaIntake`, the hot path), a command (`connect` here, all others in `StreamCommands`) or control.  Each says what it
means as events, and puts what the client has to hear into `Outgoing`.

What clients pipeline is answered in order.  A publish or a play waits for its owner's answer as long as the owner
likes, while everything else goes on being answered; the client may withdraw it meanwhile, and media that came too
early are kept, within a bound.  A `ProtocolError` is the end: nothing is known of the bytes that follow.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Enum

from mmids_trio.errors import ProtocolError
from mmids_trio.rejections import RejectReason
from mmids_trio.rtmp.protocol import control, limits
from mmids_trio.rtmp.protocol import message as types
from mmids_trio.rtmp.protocol import server_replies as replies
from mmids_trio.rtmp.protocol.chunks import ChunkReader
from mmids_trio.rtmp.protocol.commands import Command, parse_command, status_message
from mmids_trio.rtmp.protocol.control import ReceivedBytes
from mmids_trio.rtmp.protocol.events import (
    Connected,
    ConnectRefused,
    Event,
    PongReceived,
)
from mmids_trio.rtmp.protocol.handshake import ServerHandshake
from mmids_trio.rtmp.protocol.media_intake import MediaIntake
from mmids_trio.rtmp.protocol.message import Message
from mmids_trio.rtmp.protocol.message_streams import HANDLERS, MessageStreams, StreamCommands
from mmids_trio.rtmp.protocol.oddities import Oddities
from mmids_trio.rtmp.protocol.outgoing import OUTGOING_CHUNK_SIZE, Outgoing
from mmids_trio.rtmp.protocol.requests import ConnectRequest, PlayRequest, PublishRequest, connect_request


class ConnectionPhase(Enum):
    """How far a connection has come."""

    HANDSHAKE = "in its handshake"
    CONNECT_AWAITED = "waiting for connect"
    CONNECTED = "connected"
    REFUSED = "refused"


class Progress(Enum):
    """What moves a connection from phase to phase."""

    SHAKEN_HANDS = "the end of the handshake"
    ACCEPT = "an accepted connect"
    REFUSE = "a refused connect"


PHASES = {
    (ConnectionPhase.HANDSHAKE, Progress.SHAKEN_HANDS): ConnectionPhase.CONNECT_AWAITED,
    (ConnectionPhase.CONNECT_AWAITED, Progress.ACCEPT): ConnectionPhase.CONNECTED,
    (ConnectionPhase.CONNECT_AWAITED, Progress.REFUSE): ConnectionPhase.REFUSED,
}

MEDIA_TYPES = frozenset({types.AUDIO, types.VIDEO, types.DATA_AMF0, types.DATA_AMF3, types.AGGREGATE})
"""The types of messages that only publishers send."""

TALK_TYPES = frozenset({types.COMMAND_AMF0, types.COMMAND_AMF3, types.USER_CONTROL})
"""The types of messages that are no media and make work, each for itself."""

COSTLY_TYPES = TALK_TYPES | {types.DATA_AMF0, types.DATA_AMF3, types.AGGREGATE}
"""These, and those that may hold metadata."""

COMMANDS = HANDLERS.keys() | {"connect"}
"""The names of commands that anybody handles; of others nothing is decoded but the name."""

ConnectRefusal = Callable[[ConnectRequest], str | None]
"""Says why a `connect` is to be refused, `None` to accept it."""


def accept_every_connect(_request: ConnectRequest) -> str | None:
    """The refusal that never refuses."""
    return None


class ServerConnection:
    """One client. `random(n)` returns `n` random bytes for the handshake.

    `connect` is answered at once, because clients send createStream and play along with it: `refusal` is
    asked, and its description, if any, goes into `NetConnection.Connect.Rejected`.
    """

    def __init__(
        self,
        random: Callable[[int], bytes],
        refusal: ConnectRefusal = accept_every_connect,
        oddities: Oddities | None = None,
    ) -> None:
        self.oddities = Oddities() if oddities is None else oddities
        """What the client said against the form; the owner tells of it."""
        self._phase = ConnectionPhase.HANDSHAKE
        self._handshake = ServerHandshake(random)
        self._refusal = refusal
        self._reader = ChunkReader(self.oddities)
        self._received = ReceivedBytes()
        self._bytes_before_connect = 0
        self._outgoing = Outgoing()
        self._streams = MessageStreams()
        self._commands: StreamCommands | None = None
        self._can_reconnect = False
        self._media = MediaIntake(self._streams, self.oddities)
        self._said = 0
        self._values = 0
        self._unread: list[Message] = []
        self.took_frames_alone = False
        """Whether the last piece was frames of one stream that is published, or a part of one, and nothing is left."""

    @property
    def phase(self) -> ConnectionPhase:
        """How far the connection has come."""
        return self._phase

    @property
    def ignored_media(self) -> int:
        """Media and data messages that belonged to no publishing stream, so far."""
        return self._media.ignored

    @property
    def abandoned_messages(self) -> int:
        """Messages that the client gave up by beginning another one, so far."""
        return self._reader.dropped_messages

    @property
    def talk(self) -> int:
        """Bytes of commands, data and user control messages so far, each counted as `limits.LEAST_TALK` at least.

        Each AMF value that was decoded counts for itself as well, as `limits.VALUE_TALK`.
        """
        return self.asked + self._media.data_bytes

    @property
    def asked(self) -> int:
        """The same without data messages, but for the values in them."""
        return self._said + (self._values + self._media.decoded_values) * limits.VALUE_TALK

    @property
    def room(self) -> int:
        """Bytes that may be read now without breaking a limit; none where a publisher has to wait for its answer.

        Without an answer to wait for, as many as there are: who then exceeds the limit is cut off.
        """
        if not self._streams.is_publish_awaited:
            return limits.MAX_BUFFERED
        return max(self._streams.max_buffered - self._reader.unfinished, 0)

    @property
    def oldest_unfinished(self) -> int | None:
        """See `ChunkReader`."""
        return self._reader.oldest_unfinished

    def receive_data(self, data: bytes) -> list[Event]:
        """Take bytes from the client and say what they mean, in order; then `data_to_send` has the answers.

        Raises `ProtocolError` when the client breaks the protocol or a limit: the connection is beyond
        repair.  After a refused `connect` everything is ignored.
        """
        return [event for turn in self.receive_in_turns(data) for event in turn]

    def receive_in_turns(self, data: bytes) -> Iterator[list[Event]]:
        """As `receive_data`, but in pieces of bounded work, between which others may have a turn; at least one.

        One piece is `limits.CHUNKS_PER_TURN` chunks, or what counts as `limits.TALK_PER_TURN`.  Take all of them before
        the next bytes.
        """
        yield self.receive_turn(data)
        yield from self.receive_rest()

    def receive_turn(self, data: bytes) -> list[Event]:
        """The first piece of what `receive_in_turns` says of `data`; `receive_rest` has the others."""
        if self._received.is_due_after(len(data)) and self._phase is ConnectionPhase.CONNECTED:
            self._outgoing.send(control.acknowledgement(self._received.total))
        if self._phase is ConnectionPhase.HANDSHAKE:
            data = self._shake_hands(data)
        if self._phase is ConnectionPhase.CONNECT_AWAITED:
            self._bytes_before_connect += len(data)
        return self._receive_turn(data)

    def receive_rest(self) -> Iterator[list[Event]]:
        """The pieces behind the one of `receive_turn`, if there are any."""
        while (self._reader.has_more or self._unread) and self._phase is not ConnectionPhase.REFUSED:
            yield self._receive_turn(b"")
        if (
            self._phase is ConnectionPhase.CONNECT_AWAITED
            and self._bytes_before_connect > limits.MAX_BYTES_BEFORE_CONNECT
        ):
            raise ProtocolError(
                f"connect was expected within {limits.MAX_BYTES_BEFORE_CONNECT} bytes after the handshake",
                RejectReason.NO_CONNECT,
            )

    def _receive_turn(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        if self._media.has_due:
            self._media.take_due(events)
        messages, self._unread = self._unread, []
        if not messages and self._phase is not ConnectionPhase.REFUSED and (data or self._reader.has_more):
            self._reader.max_buffered = self._streams.max_buffered
            messages = self._reader.read_messages(data, limits.CHUNKS_PER_TURN)
        frames = self._media.take_frames(messages, events)
        if frames < len(messages):
            self._take_all(messages, frames, events)
        self.took_frames_alone = frames == len(messages) and len(events) <= (frames > 0) and not self._reader.has_more
        return events

    def _take_all(self, messages: list[Message], start: int, events: list[Event]) -> None:
        """Those from `start` on, until they were costly enough for one turn."""
        until = self.talk + limits.TALK_PER_TURN
        for place in range(start, len(messages)):
            message = messages[place]
            self._take(message, events)
            if message.type_id in COSTLY_TYPES and self.talk >= until:
                self._unread = messages[place + 1 :]
                break

    def receive_end(self) -> list[Event]:
        """The client's bytes are at their end: says which publishes and plays ended with them. Never raises."""
        events: list[Event] = []
        with suppress(ProtocolError):  # in what was still due; the ends have to be said all the same
            self._media.take_due(events)
        if self._commands is not None:
            for stream in self._streams:
                events += self._commands.end(stream)
        return events

    @property
    def has_answers(self) -> bool:
        """Whether there is anything for `data_to_send`."""
        return self._outgoing.has_bytes

    def data_to_send(self) -> bytes:
        """Everything that is to be sent now, which counts as sent by this call."""
        return self._outgoing.take_bytes()

    def accept_publish(self, request: PublishRequest) -> bool:
        """Let the client send its media. False when it withdrew `request` meanwhile; nothing is sent then.

        Media that it sent without waiting is due then: `take_due` has it, or else the next `receive_data`.
        """
        if self._commands is None or not self._commands.accept_publish(request):
            return False
        stream = self._streams.find(request.stream)
        if stream is not None:
            self._media.release(stream)
        return True

    @property
    def has_due(self) -> bool:
        """Whether media that came before the answer waits to be taken, by `take_due` or `receive_data`."""
        return self._media.has_due

    def take_due(self) -> list[Event]:
        """The media that came before the answer, of all publishes that were accepted meanwhile.

        Raises `ProtocolError`, as does `receive_data` afterwards.
        """
        events: list[Event] = []
        self._media.take_due(events)
        return events

    @property
    def held_bytes(self) -> int:
        """Bytes that are held for the client: of messages that are not finished, and of media that came too early."""
        streams = self._streams
        return self._reader.unfinished + (streams.early_bytes if streams.is_publish_awaited else 0)

    @property
    def is_within_message(self) -> bool:
        """Whether a message of the client is under way."""
        return self._reader.unfinished > 0

    def forget(self) -> None:
        """Let go of all that is held for the client, who is gone; the connection is of no use any more."""
        self._reader.forget()
        self._outgoing.take_bytes()
        self._refusal = accept_every_connect

    def refuse_publish(
        self,
        request: PublishRequest,
        code: str = "NetStream.Publish.BadName",
        description: str = "Publishing is not possible under this name.",
    ) -> bool:
        """Refuse with `onStatus`, level error; clients show the description. False when it was withdrawn."""
        return self._commands is not None and self._commands.refuse(request, code, description)

    def accept_play(self, request: PlayRequest) -> bool:
        """Begin playback: metadata and media may follow. False when the client withdrew `request`."""
        return self._commands is not None and self._commands.accept_play(request)

    def refuse_play(
        self,
        request: PlayRequest,
        code: str = "NetStream.Play.StreamNotFound",
        description: str = "There is nothing to play under this name.",
    ) -> bool:
        """Refuse with `onStatus`, level error. False when the client withdrew `request` meanwhile."""
        return self._commands is not None and self._commands.refuse(request, code, description)

    def send_status(self, stream: int, level: str, code: str, description: str) -> None:
        """Queue any other `onStatus` for message stream `stream`."""
        self._outgoing.send(status_message(stream, level, code, description))

    def ask_to_reconnect(self, description: str) -> bool:
        """Queue the request to connect again; false, and nothing is queued, if the client has not said that it can."""
        if self._can_reconnect:
            self._outgoing.send(replies.reconnect_request(description))
        return self._can_reconnect

    def ping(self, timestamp: int) -> None:
        """Queue a PingRequest; the answer is `PongReceived(timestamp)`. Milliseconds, modulo 2**32."""
        self._outgoing.send(control.user_control(control.PING_REQUEST, timestamp))

    def _move(self, step: Progress) -> None:
        target = PHASES.get((self._phase, step))
        if target is None:
            raise ProtocolError(f"{step.value} was not expected on a connection that is {self._phase.value}")
        self._phase = target

    def _shake_hands(self, data: bytes) -> bytes:
        self._outgoing.send_raw(self._handshake.receive_handshake(data))
        if not self._handshake.done:
            return b""
        self._move(Progress.SHAKEN_HANDS)
        return self._handshake.trailing

    def _take(self, message: Message, events: list[Event]) -> None:
        type_id = message.type_id
        if type_id in MEDIA_TYPES:
            self._media.take_message(message, events)
            return
        self._said += max(len(message.payload), limits.LEAST_TALK) if type_id in TALK_TYPES else 0
        if type_id in (types.COMMAND_AMF0, types.COMMAND_AMF3):
            if self._phase is not ConnectionPhase.REFUSED:
                command = parse_command(message, self.oddities, COMMANDS)
                self._values += command.decoded_values
                events.extend(self._take_command(command))
        elif type_id == types.USER_CONTROL:
            self._take_user_control(message, events)
        elif type_id == types.WINDOW_ACKNOWLEDGEMENT_SIZE:
            self._received.announce_window(control.parse_number(message))

    def _take_command(self, command: Command) -> list[Event]:
        if command.name == "connect":
            return [self._take_connect(command)]
        if self._commands is None:
            raise ProtocolError(f"connect was expected, {command.name[:64]!r} came")
        return self._commands.handle(command)

    def _take_connect(self, command: Command) -> Event:
        request = connect_request(command)
        refusal = self._refusal(request)
        self._move(Progress.ACCEPT if refusal is None else Progress.REFUSE)
        if refusal is not None:
            self._outgoing.send(replies.connect_refused(command, refusal))
            return ConnectRefused(request, refusal)
        self._outgoing.send(
            control.window_acknowledgement_size(replies.WINDOW_SIZE),
            control.set_peer_bandwidth(replies.WINDOW_SIZE),
        )
        self._outgoing.announce_chunk_size(OUTGOING_CHUNK_SIZE)
        self._outgoing.send(replies.connect_accepted(command, request.capabilities))
        self._can_reconnect = bool((request.capabilities.caps_ex or 0) & replies.RECONNECT)
        self._commands = StreamCommands(request, self._streams, self._outgoing)
        return Connected(request)

    def _take_user_control(self, message: Message, events: list[Event]) -> None:
        event = control.parse_user_control(message)
        if event.event == control.PING_REQUEST:
            self._outgoing.send(control.user_control(control.PING_RESPONSE, event.value))
        elif event.event == control.PING_RESPONSE:
            events.append(PongReceived(event.value))
