"""The client's end of one RTMP connection as a state machine, for pulling, pushing and testing.

    connection = ClientConnection(os.urandom, app="live", tc_url="rtmp://host/live")
    stream.send_all(connection.data_to_send())      # C0 and C1; `connect` follows by itself
    for event in connection.receive_data(data):
        ...                                         # on ClientConnected: connection.publish("key")
    stream.send_all(connection.data_to_send())

One connection publishes or plays one stream at a time.
"""

import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import cast

from mmids_trio.errors import ProtocolError
from mmids_trio.rtmp.protocol import amf, control, limits
from mmids_trio.rtmp.protocol import message as types
from mmids_trio.rtmp.protocol.chunks import ChunkReader
from mmids_trio.rtmp.protocol.commands import (
    Command,
    as_mapping,
    as_number,
    as_string,
    command_message,
    data_message,
    parse_command,
)
from mmids_trio.rtmp.protocol.control import ReceivedBytes
from mmids_trio.rtmp.protocol.events import (
    ClientConnected,
    ClientEvent,
    MediaReceived,
    PlayStarted,
    PongReceived,
    PublishStarted,
    RefusalReceived,
    StatusReceived,
    StreamBeginReceived,
    StreamEofReceived,
)
from mmids_trio.rtmp.protocol.handshake import ClientHandshake
from mmids_trio.rtmp.protocol.media_intake import read_data, split_aggregate
from mmids_trio.rtmp.protocol.message import AUDIO_CHUNK_STREAM, COMMAND_CHUNK_STREAM, VIDEO_CHUNK_STREAM, Message
from mmids_trio.rtmp.protocol.oddities import Oddities
from mmids_trio.rtmp.protocol.outgoing import Outgoing
from mmids_trio.rtmp.protocol.requests import LIVE_OR_RECORDED
from mmids_trio.rtmp.protocol.server_replies import CAN_FORWARD, SUPPORTED_CAPS_EX

LAST_MESSAGE_STREAM = 0xFFFFFFFF
"""All that the 32-bit field of a chunk's header can say (RTMP 1.0 §5.3.1.2.1)."""


class ClientPhase(Enum):
    """How far a client has come."""

    HANDSHAKE = "in its handshake"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    OPENING = "creating its stream"
    ASKING_TO_PUBLISH = "asking to publish"
    ASKING_TO_PLAY = "asking to play"
    PUBLISHING = "publishing"
    PLAYING = "playing"
    REFUSED = "refused"


class ClientMove(Enum):
    """What moves a client from phase to phase: its owner's wishes and the server's answers."""

    CONNECT = "connect"
    CONNECT_ACCEPTED = "an accepted connect"
    OPEN = "createStream"
    PUBLISH = "publish"
    PLAY = "play"
    PUBLISH_STARTED = "NetStream.Publish.Start"
    PLAY_STARTED = "NetStream.Play.Start"
    STOP = "deleteStream"
    REFUSAL = "a refusal"


CLIENT_PHASES = {
    (ClientPhase.HANDSHAKE, ClientMove.CONNECT): ClientPhase.CONNECTING,
    (ClientPhase.CONNECTING, ClientMove.CONNECT_ACCEPTED): ClientPhase.CONNECTED,
    (ClientPhase.CONNECTED, ClientMove.OPEN): ClientPhase.OPENING,
    (ClientPhase.OPENING, ClientMove.PUBLISH): ClientPhase.ASKING_TO_PUBLISH,
    (ClientPhase.OPENING, ClientMove.PLAY): ClientPhase.ASKING_TO_PLAY,
    (ClientPhase.ASKING_TO_PUBLISH, ClientMove.PUBLISH_STARTED): ClientPhase.PUBLISHING,
    (ClientPhase.ASKING_TO_PLAY, ClientMove.PLAY_STARTED): ClientPhase.PLAYING,
    (ClientPhase.PUBLISHING, ClientMove.STOP): ClientPhase.CONNECTED,
    (ClientPhase.PLAYING, ClientMove.STOP): ClientPhase.CONNECTED,
} | {(phase, ClientMove.REFUSAL): ClientPhase.REFUSED for phase in ClientPhase if phase is not ClientPhase.HANDSHAKE}

STARTS = {
    "NetStream.Publish.Start": (ClientPhase.ASKING_TO_PUBLISH, ClientMove.PUBLISH_STARTED),
    "NetStream.Play.Start": (ClientPhase.ASKING_TO_PLAY, ClientMove.PLAY_STARTED),
}
"""The codes that start something, in the phase that waits for them (a seeking player hears another one)."""

REFUSALS = re.compile(
    r"(?!NetConnection\.Call\.)"  # which says that a command is unknown, such as FCPublish
    r".*(BadName|BadConnection|Denied|Failed|Rejected|Unauthorized|NotFound|InvalidApp|AppShutdown)\Z"
)
"""How codes end that say no, whatever their level: some servers send them as a mere "status"."""

ESSENTIAL = frozenset({"connect", "createStream"})
"""The commands whose answers matter; `_error` for one of them is the end."""

AT_WORK = frozenset({ClientPhase.PUBLISHING, ClientPhase.PLAYING})
"""Where a status is about media, and no answer any more."""

BUFFER_MILLISECONDS = 3000
"""The buffer length that a player announces; FFmpeg's default."""


class ClientFlow:
    """Sends commands into `outgoing`, in order, and understands what comes back."""

    def __init__(self, outgoing: Outgoing) -> None:
        self.phase = ClientPhase.HANDSHAKE
        self.stream = 0
        self._outgoing = outgoing
        self._transaction = 0
        self._waiting: dict[float, str] = {}
        self._wish: tuple[ClientMove, str, tuple[object, ...]] = (ClientMove.PLAY, "", ())

    def move(self, step: ClientMove) -> None:
        """Every change of phase goes through here; `ProtocolError` for one that is not in the table."""
        target = CLIENT_PHASES.get((self.phase, step))
        if target is None:
            raise ProtocolError(f"{step.value} is not possible for a client that is {self.phase.value}")
        self.phase = target

    def send_command(self, name: str, *arguments: object, stream: int = 0) -> None:
        """Queue a command that wants a result, on the chunk stream for commands."""
        self._transaction += 1
        if name in ESSENTIAL:
            self._waiting[float(self._transaction)] = name
        command = Command(name, float(self._transaction), arguments, stream, COMMAND_CHUNK_STREAM)
        self._outgoing.send(command_message(command))

    def connect(self, properties: Mapping[str, object]) -> None:
        """Send `connect`."""
        self.move(ClientMove.CONNECT)
        self.send_command("connect", properties)

    def publish(self, key: str, publish_type: str) -> None:
        """Send what FFmpeg, OBS and librtmp send before `publish`, which follows once the stream exists."""
        self.move(ClientMove.OPEN)
        self._wish = (ClientMove.PUBLISH, key, (publish_type,))
        self.send_command("releaseStream", None, key)
        self.send_command("FCPublish", None, key)
        self.send_command("createStream", None)

    def play(self, key: str, start: float) -> None:
        """Send `createStream`; `play` follows once the stream exists."""
        self.move(ClientMove.OPEN)
        self._wish = (ClientMove.PLAY, key, (start,))
        self.send_command("createStream", None)

    def stop(self) -> None:
        """Give up the stream, published or played; afterwards the connection is free for the next."""
        was_publishing = self.phase is ClientPhase.PUBLISHING
        self.move(ClientMove.STOP)
        if was_publishing:
            self.send_command("FCUnpublish", None, self._wish[1])
        self.send_command("deleteStream", None, float(self.stream))

    def handle(self, command: Command) -> list[ClientEvent]:
        """Act on one command of the server's."""
        if command.name in ("_result", "_error"):
            asked = self._waiting.pop(command.transaction, "")
            if asked and (command.name == "_error" or _says_no(command)):
                return [self._refused(command)]
            if asked == "connect":
                self.move(ClientMove.CONNECT_ACCEPTED)
                return [ClientConnected(as_mapping(command.argument(0)), as_mapping(command.argument(1)))]
            if asked == "createStream":
                self._ask(_created_stream(command))
        elif command.name == "onStatus":
            return [self._status(command)]
        return []

    def _ask(self, stream: int) -> None:
        step, key, arguments = self._wish
        self.move(step)
        self.stream = stream
        if step is ClientMove.PLAY:
            self.send_command("getStreamLength", None, key)
        self.send_command(step.value, None, key, *arguments, stream=stream)
        if step is ClientMove.PLAY:
            self._outgoing.send(control.set_buffer_length(stream, BUFFER_MILLISECONDS))

    def _status(self, command: Command) -> ClientEvent:
        information = as_mapping(command.argument(1))
        level, code = as_string(information.get("level")), as_string(information.get("code"))
        if level == "error" or (self.phase not in AT_WORK and REFUSALS.match(code)):
            return self._refused(command)
        phase, step = STARTS.get(code, (None, ClientMove.STOP))
        if phase is self.phase:
            self.move(step)
            starts_publish = step is ClientMove.PUBLISH_STARTED
            return PublishStarted(self.stream) if starts_publish else PlayStarted(self.stream)
        return StatusReceived(command.stream_id, level, code, as_string(information.get("description")))

    def _refused(self, command: Command) -> RefusalReceived:
        self.move(ClientMove.REFUSAL)
        information = as_mapping(command.argument(1)) or as_mapping(command.argument(0))
        return RefusalReceived(as_string(information.get("code")), as_string(information.get("description")))


def _says_no(result: Command) -> bool:
    """Whether a result, which ought to be good news, bears the code of a refusal."""
    return REFUSALS.match(as_string(as_mapping(result.argument(1)).get("code"))) is not None


def _created_stream(command: Command) -> int:
    """The message stream that the server made (RTMP 1.0 §7.2.1.3), which has to fit a chunk's header."""
    stream = as_number(command.argument(1), int)
    if not 0 <= stream <= LAST_MESSAGE_STREAM:
        raise ProtocolError(f"a message stream of 0 to {LAST_MESSAGE_STREAM} was expected, {stream} was created")
    return stream


CLIENT_CHUNK_SIZE = 60_000
"""Bytes; what FFmpeg announces when it publishes, so every server has met it."""

CLIENT_VERSION = "FMLE/3.0 (compatible; mmids_trio)"
"""The name that encoders go by; some servers take streams from an "FMLE" alone."""


FORWARDS_EVERYTHING: Mapping[str, object] = {
    "fourCcList": ["*"],
    "videoFourCcInfoMap": {"*": CAN_FORWARD},
    "audioFourCcInfoMap": {"*": CAN_FORWARD},
    "capsEx": float(SUPPORTED_CAPS_EX),
}
"""What `connect` says of a client that takes and gives media as they are (Enhanced RTMP v2, NetConnection connect)."""

ON_STATUS = b"\x02\x00\x08onStatus"
"""How a status begins that comes as a data message (AMF0 §2.4)."""


TALK_TYPES = frozenset({types.COMMAND_AMF0, types.COMMAND_AMF3, types.DATA_AMF0, types.DATA_AMF3, types.USER_CONTROL})
"""The types of messages that are no media and make work, each for itself."""


class ClientConnection:
    """One connection to a server. `random(n)` returns `n` random bytes for the handshake.

    `properties` go into the command object of `connect` beside app, tcUrl and flashVer (capabilities, say).
    """

    def __init__(
        self,
        random: Callable[[int], bytes],
        app: str,
        tc_url: str,
        *,
        chunk_size: int = CLIENT_CHUNK_SIZE,
        properties: Mapping[str, object] | None = None,
    ) -> None:
        self._properties = {
            "app": app,
            "type": "nonprivate",
            "flashVer": CLIENT_VERSION,
            "tcUrl": tc_url,
            **(properties or {}),
        }
        self._chunk_size = chunk_size
        self._handshake = ClientHandshake(random)
        self.oddities = Oddities()
        """What the server said against the form; the owner tells of it."""
        self._reader = ChunkReader(self.oddities)
        self._received = ReceivedBytes()
        self._outgoing = Outgoing()
        self._flow = ClientFlow(self._outgoing)
        self.talk = 0
        """Bytes of commands, data and user control messages so far; counted as `ServerConnection.talk` does."""
        self._unread: list[Message] = []
        self._outgoing.send_raw(self._handshake.start())

    @property
    def phase(self) -> ClientPhase:
        """How far the client has come."""
        return self._flow.phase

    def receive_data(self, data: bytes) -> list[ClientEvent]:
        """Take bytes from the server and say what they mean, in order.

        Raises `ProtocolError` when the server breaks the protocol or a limit.
        """
        events = self.receive_turn(data)
        while self.has_more:
            events += self.receive_turn()
        return events

    @property
    def has_more(self) -> bool:
        """Whether the last `receive_turn` has left something to be read, by another one without data."""
        return bool(self._unread) or self._reader.has_more

    def receive_turn(self, data: bytes = b"") -> list[ClientEvent]:
        """As `receive_data`, but work with a bound, so that others may have a turn in between.

        That is `limits.CHUNKS_PER_TURN` chunks, or what counts as `limits.TALK_PER_TURN`.
        """
        if self._received.is_due_after(len(data)) and self.phase is not ClientPhase.HANDSHAKE:
            self._outgoing.send(control.acknowledgement(self._received.total))
        if self.phase is ClientPhase.HANDSHAKE:
            data = self._shake_hands(data)
        events: list[ClientEvent] = []
        messages, self._unread = self._unread, []
        if data or (not messages and self._reader.has_more):
            messages += self._reader.read_messages(data, limits.CHUNKS_PER_TURN)
        until = self.talk + limits.TALK_PER_TURN
        for place, message in enumerate(messages, 1):
            self._take(message, events)
            if self.talk >= until:
                self._unread = messages[place:]
                break
        return events

    def data_to_send(self) -> bytes:
        """Everything that is to be sent now, which counts as sent by this call."""
        return self._outgoing.take_bytes()

    def publish(self, key: str, publish_type: str = "live") -> None:
        """Ask to publish `key` (with `?query`, if any). `PublishStarted` or `RefusalReceived` is the answer.

        Raises `ProtocolError` unless the client is connected and idle.
        """
        self._flow.publish(key, publish_type)

    def play(self, key: str, start: float = LIVE_OR_RECORDED) -> None:
        """Ask to play `key`. `PlayStarted` or `RefusalReceived` is the answer. Raises as `publish` does."""
        self._flow.play(key, start)

    def send_media(self, type_id: int, timestamp: int, payload: bytes) -> None:
        """Queue one audio (8) or video (9) message; `timestamp` in milliseconds, modulo 2**32."""
        chunk_stream = AUDIO_CHUNK_STREAM if type_id == types.AUDIO else VIDEO_CHUNK_STREAM
        self._send_on_stream(Message(type_id, self._flow.stream, timestamp, payload, chunk_stream))

    def send_metadata(self, values: Mapping[str, object]) -> None:
        """Queue `@setDataFrame` `onMetaData` with `values` as an ECMA array."""
        array = amf.EcmaArray(cast(Mapping[str, amf.AmfValue], values))
        self._send_on_stream(data_message(self._flow.stream, 0, "@setDataFrame", "onMetaData", array))

    def unpublish(self) -> None:
        """Queue FCUnpublish and deleteStream. Raises `ProtocolError` when nothing is published."""
        self._require(ClientPhase.PUBLISHING)
        self._flow.stop()

    def stop_playing(self) -> None:
        """Queue deleteStream. Raises `ProtocolError` when nothing is played."""
        self._require(ClientPhase.PLAYING)
        self._flow.stop()

    def send_command(self, name: str, *arguments: object, stream: int = 0) -> None:
        """Queue any other command; its result is not reported."""
        self._flow.send_command(name, *arguments, stream=stream)

    def ping(self, timestamp: int) -> None:
        """Queue a PingRequest; the answer is `PongReceived(timestamp)`."""
        self._outgoing.send(control.user_control(control.PING_REQUEST, timestamp))

    def _require(self, phase: ClientPhase) -> None:
        if self.phase is not phase:
            raise ProtocolError(f"a client that is {phase.value} was expected, this one is {self.phase.value}")

    def _send_on_stream(self, message: Message) -> None:
        self._require(ClientPhase.PUBLISHING)
        self._outgoing.send(message)

    def _shake_hands(self, data: bytes) -> bytes:
        self._outgoing.send_raw(self._handshake.receive_handshake(data))
        if not self._handshake.done:
            return b""
        self._flow.connect(self._properties)
        self._outgoing.announce_chunk_size(self._chunk_size)
        return self._handshake.trailing

    def _take(self, message: Message, events: list[ClientEvent]) -> None:
        if message.type_id in TALK_TYPES:
            self.talk += max(len(message.payload), limits.LEAST_TALK)
        match message.type_id:
            case types.AUDIO | types.VIDEO:
                _append_media(message, events)
            case types.AGGREGATE:
                for part in split_aggregate(message):
                    if part.type_id in (types.AUDIO, types.VIDEO):
                        _append_media(part, events)
            case types.DATA_AMF0 | types.DATA_AMF3:
                self._take_data(message, events)
            case types.COMMAND_AMF0 | types.COMMAND_AMF3:
                command = parse_command(message, self.oddities)
                self._charge(command.decoded_values)
                events.extend(self._flow.handle(command))
            case types.USER_CONTROL:
                self._take_user_control(message, events)
            case types.WINDOW_ACKNOWLEDGEMENT_SIZE:
                self._received.announce_window(control.parse_number(message))

    def _take_data(self, message: Message, events: list[ClientEvent]) -> None:
        if not _is_status(message):
            event = read_data(message.stream_id, message, self.oddities, self._charge)
            if event is not None:
                events.append(event)

    def _charge(self, values: int) -> None:
        """So many AMF values were decoded."""
        self.talk += values * limits.VALUE_TALK

    def _take_user_control(self, message: Message, events: list[ClientEvent]) -> None:
        event = control.parse_user_control(message)
        match event.event:
            case control.PING_REQUEST:
                self._outgoing.send(control.user_control(control.PING_RESPONSE, event.value))
            case control.PING_RESPONSE:
                events.append(PongReceived(event.value))
            case control.STREAM_BEGIN:
                events.append(StreamBeginReceived(event.value))
            case control.STREAM_EOF:
                events.append(StreamEofReceived(event.value))


def _is_status(message: Message) -> bool:
    """Whether a data message is the server's word (`NetStream.Data.Start`) and not the stream's."""
    return message.payload.startswith(ON_STATUS)


def _append_media(message: Message, events: list[ClientEvent]) -> None:
    """Lengthen the run that `events` ends with, or begin one; empty messages are nothing."""
    last = events[-1] if events else None
    if not message.payload:
        return
    if isinstance(last, MediaReceived) and last.stream == message.stream_id:
        last.messages.append(message)
    else:
        events.append(MediaReceived(message.stream_id, [message]))
