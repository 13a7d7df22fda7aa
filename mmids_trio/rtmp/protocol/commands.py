"""Commands: reading them from messages, and building the ones that both ends send.

Pure functions between `Message` and AMF0 values; who may say what and when is the machines' business.
RTMP 1.0 §7.1.1 and §7.2.
"""

from collections.abc import Container, Mapping
from typing import TypeVar

from attrs import field, frozen

from mmids_trio.errors import ProtocolError
from mmids_trio.rtmp.protocol import amf
from mmids_trio.rtmp.protocol.limits import MAX_COMMAND_VALUES
from mmids_trio.rtmp.protocol.message import (
    COMMAND_AMF0,
    COMMAND_AMF3,
    COMMAND_CHUNK_STREAM,
    DATA_AMF0,
    DATA_AMF3,
    DATA_CHUNK_STREAM,
    MAX_CHUNK_STREAM_TO_WRITE,
    STATUS_CHUNK_STREAM,
    Message,
)
from mmids_trio.rtmp.protocol.oddities import Oddities, Oddity

Number = TypeVar("Number", int, float)

LARGEST_WHOLE_NUMBER = 2**53
"""Up to here a double holds every whole number; beyond, and for NaN, a number is taken as 0."""


def as_string(value: object) -> str:
    """`value` if it is a string, else `""`."""
    return value if isinstance(value, str) else ""


def as_number(value: object, kind: type[Number]) -> Number:
    """`value` as a number of that kind; 0 for what is no number, or none that can be counted with."""
    if isinstance(value, int | float) and abs(value) <= LARGEST_WHOLE_NUMBER:
        return kind(value)
    return kind(0)


def as_mapping(value: object) -> Mapping[str, object]:
    """`value` if it is an object of any AMF0 form, else an empty mapping."""
    return value if isinstance(value, Mapping) else {}


@frozen
class Command:
    """One command. `arguments` is all that follows the transaction id; the first is the command object."""

    name: str
    transaction: float
    arguments: tuple[object, ...] = ()
    stream_id: int = 0
    chunk_stream_id: int = COMMAND_CHUNK_STREAM
    decoded_values: int = field(default=0, eq=False)
    """AMF values that were decoded to get here, those within others included."""

    def argument(self, index: int) -> object:
        """The argument at `index`, `None` where there are fewer."""
        return self.arguments[index] if index < len(self.arguments) else None

    @property
    def wants_result(self) -> bool:
        """Whether the sender expects `_result` or `_error`: it does unless the transaction id is 0."""
        return self.transaction != 0


def amf0_part(message: Message) -> bytes:
    """The AMF0 of a command or data message.

    The AMF3 types (17 and 15) carry AMF0 after one zero byte, and Flash-era encoders use them at will.
    """
    payload = message.payload
    if message.type_id in (COMMAND_AMF3, DATA_AMF3) and payload[:1] == b"\0":
        return payload[1:]
    return payload


HEAD = 2
"""Values before the arguments of a command: its name and transaction id."""


def parse_command(
    message: Message, oddities: Oddities | None = None, handled: Container[object] | None = None
) -> Command:
    """Read a command message of type 20 or 17, as far as it is clean. Raises `ProtocolError` when it has no name.

    Nobody looks into the arguments of a command that is not `handled` (`None`: all are), so they are not decoded.
    """
    payload = amf0_part(message)
    if handled is None or amf.short_string_at(payload) in handled:  # nearly always
        understood = amf.decode_leniently(payload, MAX_COMMAND_VALUES)
    else:
        understood = amf.decode_beginning(payload, HEAD)
        if understood.values and understood.values[0] in handled:
            understood = amf.decode_leniently(payload, MAX_COMMAND_VALUES)
    values = understood.values
    if understood.flaw is not None and oddities is not None:
        oddities.note(Oddity.COMMAND, understood.flaw)
    if not values or not isinstance(values[0], str):
        why = f" ({understood.flaw})" if understood.flaw is not None else ""
        raise ProtocolError(f"a command begins with its name as a string, this one does not{why}")
    return Command(
        name=values[0],
        transaction=as_number(values[1], float) if len(values) > 1 else 0.0,
        arguments=tuple(values[2:]),
        stream_id=message.stream_id,
        chunk_stream_id=message.chunk_stream_id,
        decoded_values=understood.items,
    )


def command_message(command: Command) -> Message:
    """`command` as an AMF0 message with timestamp 0."""
    payload = amf.encode_all([command.name, command.transaction, *command.arguments])
    return Message(
        type_id=COMMAND_AMF0,
        stream_id=command.stream_id,
        timestamp=0,
        payload=payload,
        chunk_stream_id=command.chunk_stream_id,
    )


def answer(command: Command, name: str, *values: object) -> Message:
    """The answer `name` (`_result` or `_error`) to `command`, on the chunk and message stream it used."""
    chunk_stream_id = command.chunk_stream_id
    if chunk_stream_id > MAX_CHUNK_STREAM_TO_WRITE:
        chunk_stream_id = COMMAND_CHUNK_STREAM
    return command_message(Command(name, command.transaction, values, command.stream_id, chunk_stream_id))


def result(command: Command, *values: object) -> Message:
    """`_result` for `command`; without values, the two empty ones that every client takes."""
    return answer(command, "_result", *(values or (None, amf.UNDEFINED)))


def error(command: Command, code: str, description: str) -> Message:
    """`_error` for `command`, with the usual information object."""
    return answer(command, "_error", None, information("error", code, description))


def information(level: str, code: str, description: str) -> dict[str, object]:
    """The object that says what happened (RTMP 1.0 §7.2.2)."""
    return {"level": level, "code": code, "description": description}


def status_message(stream_id: int, level: str, code: str, description: str) -> Message:
    """`onStatus` on message stream `stream_id`; `level`: `status`, `warning`, `error` (RTMP 1.0 §7.2.2)."""
    arguments = (None, information(level, code, description))
    return command_message(Command("onStatus", 0.0, arguments, stream_id, STATUS_CHUNK_STREAM))


def data_message(stream_id: int, timestamp: int, *values: object) -> Message:
    """An AMF0 data message (RTMP 1.0 §7.1.2): a name and what belongs to it."""
    return Message(
        type_id=DATA_AMF0,
        stream_id=stream_id,
        timestamp=timestamp,
        payload=amf.encode_all(list(values)),
        chunk_stream_id=DATA_CHUNK_STREAM,
    )
