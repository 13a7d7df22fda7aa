"""The client's commands and the answers to them: from `connect` to a publish or a play, as a state machine.

It is apart from the connection, which moves bytes and media and needs to know none of this.
"""

from collections.abc import Mapping
from enum import Enum

from mmids_trio.errors import ProtocolError
from mmids_trio.rtmp.protocol import control
from mmids_trio.rtmp.protocol.chunk_streams import COMMAND_CHUNK_STREAM
from mmids_trio.rtmp.protocol.client_events import (
    ClientConnected,
    ClientEvent,
    PlayStarted,
    PublishStarted,
    Refused,
    StatusReceived,
)
from mmids_trio.rtmp.protocol.commands import Command, as_mapping, as_number, as_string, command_message
from mmids_trio.rtmp.protocol.outgoing import Outgoing

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

ESSENTIAL = frozenset({"connect", "createStream"})
"""The commands whose answers matter; `_error` for one of them is the end."""

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
            if asked and command.name == "_error":
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
        if level == "error":
            return self._refused(command)
        phase, step = STARTS.get(code, (None, ClientMove.STOP))
        if phase is self.phase:
            self.move(step)
            starts_publish = step is ClientMove.PUBLISH_STARTED
            return PublishStarted(self.stream) if starts_publish else PlayStarted(self.stream)
        return StatusReceived(command.stream_id, level, code, as_string(information.get("description")))

    def _refused(self, command: Command) -> Refused:
        self.move(ClientMove.REFUSAL)
        information = as_mapping(command.argument(1)) or as_mapping(command.argument(0))
        return Refused(as_string(information.get("code")), as_string(information.get("description")))


def _created_stream(command: Command) -> int:
    """The message stream that the server made (RTMP 1.0 §7.2.1.3), which has to fit a chunk's header."""
    stream = as_number(command.argument(1), int)
    if not 0 <= stream <= LAST_MESSAGE_STREAM:
        raise ProtocolError(f"a message stream of 0 to {LAST_MESSAGE_STREAM} was expected, {stream} was created")
    return stream
