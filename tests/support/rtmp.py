"""An RTMP client driven by hand, for tests of whatever answers RTMP clients.

Unlike `ClientConnection` it says exactly what it is told, in any order and any form, and reports the
answers as one short line each, so that a whole conversation can stand in a test as a list.
"""

from attrs import define, field

from mmids_trio.rtmp.protocol import amf, control
from mmids_trio.rtmp.protocol import message as types
from mmids_trio.rtmp.protocol.chunks import ChunkReader
from mmids_trio.rtmp.protocol.commands import as_mapping, parse_command
from mmids_trio.rtmp.protocol.events import Event
from mmids_trio.rtmp.protocol.message import Message
from mmids_trio.rtmp.protocol.outgoing import render
from mmids_trio.rtmp.protocol.server_connection import ServerConnection

INITIAL_CHUNK_SIZE = 128
"""Bytes; what a client writes in that announced nothing (RTMP 1.0 §5.4.1)."""

HANDSHAKE_SIZE = 1 + 2 * 1536
"""Bytes of the handshake in either direction (RTMP 1.0 §5.2)."""

PLAIN_HANDSHAKE = b"\x03" + bytes(HANDSHAKE_SIZE - 1)
"""C0, C1 and C2 of a client without digests."""

CONTROL_NAMES = {
    control.STREAM_BEGIN: "StreamBegin",
    control.STREAM_EOF: "StreamEOF",
    control.PING_REQUEST: "PingRequest",
    control.PING_RESPONSE: "PingResponse",
}
NUMBER_NAMES = {
    1: "SetChunkSize",
    types.ACKNOWLEDGEMENT: "Acknowledgement",
    types.WINDOW_ACKNOWLEDGEMENT_SIZE: "WindowAcknowledgementSize",
    types.SET_PEER_BANDWIDTH: "SetPeerBandwidth",
}


def zeros(count: int) -> bytes:
    """The random bytes of tests."""
    return bytes(count)


def message(type_id: int, payload: bytes, *, stream: int = 0, timestamp: int = 0, chunk_stream: int = 3) -> bytes:
    """Any message, as a client writes it that never announced a chunk size."""
    return render(Message(type_id, stream, timestamp, payload, chunk_stream), INITIAL_CHUNK_SIZE)


def command(
    name: str,
    transaction: float,
    *arguments: object,
    stream: int = 0,
    chunk_stream: int = 3,
    amf3: bool = False,
) -> bytes:
    """A command message; with `amf3` in the form of Flash-era encoders (type 17, a zero byte, AMF0)."""
    payload = amf.encode_all([name, transaction, *arguments])
    if amf3:
        return message(types.COMMAND_AMF3, b"\0" + payload, stream=stream, chunk_stream=chunk_stream)
    return message(types.COMMAND_AMF0, payload, stream=stream, chunk_stream=chunk_stream)


def connect(app: str = "live", **properties: object) -> bytes:
    """`connect` with transaction id 1."""
    return command("connect", 1, {"app": app, "tcUrl": f"rtmp://server/{app}", **properties})


def pipelined(*after: bytes, key: str = "key") -> bytes:
    """Everything that a hasty publisher has to say, in one segment."""
    publish = command("publish", 3, None, key, "live", stream=1)
    return b"".join([PLAIN_HANDSHAKE, connect(), command("createStream", 2, None), publish, *after])


def describe(message: Message) -> str:
    """One line for one message: `1:` (its message stream, unless 0), its name, and its essence."""
    prefix = f"{message.stream_id}: " if message.stream_id else ""
    return prefix + _essence(message)


def _essence(message: Message) -> str:
    match message.type_id:
        case types.COMMAND_AMF0:
            return _command_essence(message)
        case types.DATA_AMF0:
            return " ".join(_value(value) for value in amf.decode_all(message.payload))
        case types.USER_CONTROL:
            event = control.parse_user_control(message)
            return f"{CONTROL_NAMES.get(event.event, event.event)} {event.value}"
        case type_id if type_id in NUMBER_NAMES:
            return f"{NUMBER_NAMES[type_id]} {control.parse_number(message)}"
        case type_id:
            return f"type {type_id}, {len(message.payload)} bytes"


def _command_essence(message: Message) -> str:
    spoken = parse_command(message)
    if spoken.name == "onStatus":
        return f"onStatus {as_mapping(spoken.argument(1)).get('code')}"
    last = _value(spoken.arguments[-1]) if spoken.arguments else ""
    return f"{spoken.name} {spoken.transaction:g} {last}".rstrip()


def _value(value: object) -> str:
    """What distinguishes a value: the code of an information object, the names of another, else the value."""
    names = as_mapping(value)
    if names:
        return str(names.get("code", ",".join(names)))
    if value is amf.UNDEFINED:
        return "undefined"
    return f"{value:g}" if isinstance(value, float) else str(value)


@define
class ScriptedClient:
    """Speaks to `server`, which it makes itself unless it is given one."""

    server: ServerConnection = field(factory=lambda: ServerConnection(zeros))
    answers: list[Message] = field(factory=list, init=False)
    """Every answer so far."""
    _reader: ChunkReader = field(factory=ChunkReader, init=False)
    _handshake_left: int = field(default=HANDSHAKE_SIZE, init=False)

    def say(self, *pieces: bytes) -> list[Event]:
        """Send all `pieces` in one segment and return what the server makes of them."""
        return self.server.receive_data(b"".join(pieces))

    def hear(self) -> list[str]:
        """Descriptions of what the server answered since the last time (the handshake is left out)."""
        data = self.server.data_to_send()
        skipped = min(len(data), self._handshake_left)
        self._handshake_left -= skipped
        messages = self._reader.read_messages(data[skipped:])
        self.answers += messages
        return [describe(answer) for answer in messages]

    def connect(self, app: str = "live") -> None:
        """Shake hands, connect, and drop the answers."""
        self.say(PLAIN_HANDSHAKE, connect(app))
        self.hear()
