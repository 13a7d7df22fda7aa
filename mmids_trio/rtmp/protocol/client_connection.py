"""The client's end of one RTMP connection as a state machine, for pulling, pushing and testing.

    connection = ClientConnection(os.urandom, app="live", tc_url="rtmp://host/live")
    stream.send_all(connection.data_to_send())      # C0 and C1; `connect` follows by itself
    for event in connection.receive(data):
        ...                                         # on ClientConnected: connection.publish("key")
    stream.send_all(connection.data_to_send())

One connection publishes or plays one stream at a time.
"""

from collections.abc import Callable, Mapping
from typing import cast

from mmids_trio.errors import ProtocolError
from mmids_trio.rtmp.protocol import amf0, control
from mmids_trio.rtmp.protocol import message_types as types
from mmids_trio.rtmp.protocol.acknowledgements import ReceivedBytes
from mmids_trio.rtmp.protocol.aggregate import split_aggregate
from mmids_trio.rtmp.protocol.chunk_reader import ChunkReader
from mmids_trio.rtmp.protocol.chunk_streams import AUDIO_CHUNK_STREAM, VIDEO_CHUNK_STREAM
from mmids_trio.rtmp.protocol.client_events import ClientEvent, StreamBegan, StreamEnded
from mmids_trio.rtmp.protocol.client_flow import ClientFlow, ClientPhase
from mmids_trio.rtmp.protocol.commands import data_message, parse_command
from mmids_trio.rtmp.protocol.data_messages import read_data
from mmids_trio.rtmp.protocol.events import MediaReceived, PongReceived
from mmids_trio.rtmp.protocol.handshake import ClientHandshake
from mmids_trio.rtmp.protocol.message import Message
from mmids_trio.rtmp.protocol.outgoing import Outgoing
from mmids_trio.rtmp.protocol.requests import LIVE_OR_RECORDED
from mmids_trio.rtmp.protocol.server_replies import CAN_FORWARD, SUPPORTED_CAPS_EX

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
        self._reader = ChunkReader()
        self._received = ReceivedBytes()
        self._outgoing = Outgoing()
        self._flow = ClientFlow(self._outgoing)
        self._outgoing.send_raw(self._handshake.start())

    @property
    def phase(self) -> ClientPhase:
        """How far the client has come."""
        return self._flow.phase

    def receive(self, data: bytes) -> list[ClientEvent]:
        """Take bytes from the server and say what they mean, in order.

        Raises `ProtocolError` when the server breaks the protocol or a limit.
        """
        if self._received.is_due_after(len(data)) and self.phase is not ClientPhase.HANDSHAKE:
            self._outgoing.send(control.acknowledgement(self._received.total))
        if self.phase is ClientPhase.HANDSHAKE:
            data = self._shake_hands(data)
        events: list[ClientEvent] = []
        if data:
            for message in self._reader.receive(data):
                self._take(message, events)
        return events

    def data_to_send(self) -> bytes:
        """Everything that is to be sent now, which counts as sent by this call."""
        return self._outgoing.take()

    def publish(self, key: str, publish_type: str = "live") -> None:
        """Ask to publish `key` (with `?query`, if any). `PublishStarted` or `Refused` is the answer.

        Raises `ProtocolError` unless the client is connected and idle.
        """
        self._flow.publish(key, publish_type)

    def play(self, key: str, start: float = LIVE_OR_RECORDED) -> None:
        """Ask to play `key`. `PlayStarted` or `Refused` is the answer. Raises as `publish` does."""
        self._flow.play(key, start)

    def send_media(self, type_id: int, timestamp: int, payload: bytes) -> None:
        """Queue one audio (8) or video (9) message; `timestamp` in milliseconds, modulo 2**32."""
        chunk_stream = AUDIO_CHUNK_STREAM if type_id == types.AUDIO else VIDEO_CHUNK_STREAM
        self._send_on_stream(Message(type_id, self._flow.stream, timestamp, payload, chunk_stream))

    def send_metadata(self, values: Mapping[str, object]) -> None:
        """Queue `@setDataFrame` `onMetaData` with `values` as an ECMA array."""
        array = amf0.EcmaArray(cast(Mapping[str, amf0.AmfValue], values))
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
        self._outgoing.send_raw(self._handshake.receive(data))
        if not self._handshake.done:
            return b""
        self._flow.connect(self._properties)
        self._outgoing.announce_chunk_size(self._chunk_size)
        return self._handshake.trailing

    def _take(self, message: Message, events: list[ClientEvent]) -> None:
        match message.type_id:
            case types.AUDIO | types.VIDEO:
                _append_media(message, events)
            case types.AGGREGATE:
                for part in split_aggregate(message):
                    if part.type_id in (types.AUDIO, types.VIDEO):
                        _append_media(part, events)
            case types.DATA_AMF0 | types.DATA_AMF3:
                event = None if _is_status(message) else read_data(message.stream_id, message)
                if event is not None:
                    events.append(event)
            case types.COMMAND_AMF0 | types.COMMAND_AMF3:
                events.extend(self._flow.handle(parse_command(message)))
            case types.USER_CONTROL:
                self._take_user_control(message, events)
            case types.WINDOW_ACKNOWLEDGEMENT_SIZE:
                self._received.announce_window(control.parse_number(message))

    def _take_user_control(self, message: Message, events: list[ClientEvent]) -> None:
        event = control.parse_user_control(message)
        match event.event:
            case control.PING_REQUEST:
                self._outgoing.send(control.user_control(control.PING_RESPONSE, event.value))
            case control.PING_RESPONSE:
                events.append(PongReceived(event.value))
            case control.STREAM_BEGIN:
                events.append(StreamBegan(event.value))
            case control.STREAM_EOF:
                events.append(StreamEnded(event.value))


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
