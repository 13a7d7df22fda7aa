"""Media and data messages: which of them count, and how they become events.

Aggregates (type 22, RTMP 1.0 §7.1.6) are taken apart.  Of data messages (types 18 and 15) metadata alone is decoded;
the rest goes on as the bytes that came, at no cost and whatever is in it.  This is the hot path of the server's
machine, thousands of messages for every command: one look-up, and an entry in the list of a run.
"""

from collections.abc import Callable, Mapping, Sequence

from mmids_trio.errors import ProtocolError
from mmids_trio.rtmp.protocol import amf
from mmids_trio.rtmp.protocol import message as types
from mmids_trio.rtmp.protocol.commands import amf0_part, as_mapping, as_string
from mmids_trio.rtmp.protocol.events import DataReceived, Event, MediaReceived, MetadataReceived
from mmids_trio.rtmp.protocol.limits import LEAST_TALK
from mmids_trio.rtmp.protocol.message import AUDIO, VIDEO, Message
from mmids_trio.rtmp.protocol.message_streams import MessageStream, MessageStreams
from mmids_trio.rtmp.protocol.oddities import Oddities, Oddity

TAG_HEADER = 11
"""Bytes before the body of an FLV tag: type, size (3), timestamp (3 and 1 upper), stream id (3)."""

BACK_POINTER = 4
"""Bytes after the body: the size of the whole tag. Some encoders leave out the last one."""

MAX_TAGS = 1024
"""Tags in one aggregate: some ten seconds of media. A whole message of empty tags would be a million."""

TIMESTAMP_MASK = 0xFFFFFFFF


def split_aggregate(message: Message) -> list[Message]:
    """The messages in `message`, in order, on its message stream and chunk stream.

    The timestamps in the tags are relative to the first one, which stands for the aggregate's own.
    Raises `ProtocolError` when a tag reaches beyond the end, and beyond `MAX_TAGS`.
    """
    payload = message.payload
    messages: list[Message] = []
    position = 0
    offset: int | None = None
    while position < len(payload):
        if position + TAG_HEADER > len(payload):
            raise ProtocolError(f"a tag in an aggregate message is cut off in its header at byte {position}")
        size = int.from_bytes(payload[position + 1 : position + 4], "big")
        timestamp = (payload[position + 7] << 24) | int.from_bytes(payload[position + 4 : position + 7], "big")
        if offset is None:
            offset = message.timestamp - timestamp
        if len(messages) == MAX_TAGS:
            raise ProtocolError(f"an aggregate message holds more than {MAX_TAGS} tags")
        start = position + TAG_HEADER
        if start + size > len(payload):
            raise ProtocolError(f"a tag of {size} bytes in an aggregate message reaches beyond its end")
        messages.append(
            Message(
                type_id=payload[position],
                stream_id=message.stream_id,
                timestamp=(timestamp + offset) & TIMESTAMP_MASK,
                payload=payload[start : start + size],
                chunk_stream_id=message.chunk_stream_id,
            )
        )
        position = start + size + BACK_POINTER
    return messages


def _encoded(name: str) -> bytes:
    return b"\x02" + len(name).to_bytes(2, "big") + name.encode()


SET_DATA_FRAME = _encoded("@setDataFrame")
"""How publishers say "keep this for those who come later"; forwarded data is without it."""

CLEAR_DATA_FRAME = _encoded("@clearDataFrame")
METADATA = _encoded("onMetaData")
SAMPLE_ACCESS = _encoded("|RtmpSampleAccess")

NOT_FORWARDED = (CLEAR_DATA_FRAME, SAMPLE_ACCESS)
"""What is said to the server alone, or is said by the server itself."""


def for_nothing(_values: int) -> None:
    """Charges nobody."""


def read_data(
    stream: int, message: Message, oddities: Oddities | None = None, charge: Callable[[int], None] = for_nothing
) -> MetadataReceived | DataReceived | None:
    """What `message` on message stream `stream` means; `None` for what concerns nobody.

    `charge` is told how many AMF values were decoded for it.
    Metadata is advisory: what can be read of it counts.  Raises `ProtocolError` for the limits of AMF0 alone.
    """
    payload = amf0_part(message).removeprefix(SET_DATA_FRAME)
    if payload.startswith(METADATA):
        understood = amf.decode_leniently(payload[len(METADATA) :])
        charge(understood.items)
        if understood.flaw is not None and oddities is not None:
            oddities.note(Oddity.METADATA, understood.flaw)
        values = _metadata(understood.values)
        if understood.flaw is not None and not values:
            return None
        return MetadataReceived(stream, message.timestamp, values)
    if not payload or payload.startswith(NOT_FORWARDED):
        return None
    return DataReceived(stream, message.timestamp, payload)


def _metadata(values: Sequence[object]) -> Mapping[str, object]:
    """The first object is the metadata; some encoders repeat the name before it."""
    for value in values:
        if found := as_mapping(value):
            return found
        if as_string(value) != "onMetaData":
            break
    return {}


class MediaIntake:
    """Takes the messages that belong to the publishing ones of `streams`; `ignored` counts the rest."""

    def __init__(self, streams: MessageStreams, oddities: Oddities) -> None:
        self._oddities = oddities
        self.ignored = 0
        self.data_bytes = 0
        """Bytes of data messages that were read, each counted as `LEAST_TALK` at least."""
        self.decoded_values = 0
        """AMF values of metadata, those within others included."""
        self._streams = streams
        self._due: list[Message] = []
        self.has_due = False
        """Whether there is anything for `take_due`."""

    def take_frames(self, messages: list[Message], events: list[Event]) -> int:
        """Add the audio and video that `messages` begin with to `events`, as one run; returns how many these are.

        What a read brings of a publisher is, as a rule, nothing else, on one message stream: no call for each of them.
        """
        if not messages or (stream := self._streams.media_routes.get(messages[0].stream_id)) is None or events:
            return 0
        came_on, count = messages[0].stream_id, 0
        for message in messages:
            type_id = message.type_id
            is_frame = type_id == VIDEO or type_id == AUDIO  # noqa: PLR1714 (a tuple costs more)
            if not is_frame or message.stream_id != came_on or not message.payload:
                break
            count += 1
        if count:
            events.append(MediaReceived(stream, messages if count == len(messages) else messages[:count]))
        return count

    def take_message(self, message: Message, events: list[Event]) -> None:
        """Add one audio, video, data or aggregate message to `events`."""
        if message.type_id == types.AGGREGATE:
            for part in split_aggregate(message):
                if part.type_id in (types.AUDIO, types.VIDEO, types.DATA_AMF0):
                    self.take_message(part, events)
            return
        stream = self._streams.media_routes.get(message.stream_id)
        if stream is None:
            self._keep_or_ignore(message)
        elif message.type_id in (types.DATA_AMF0, types.DATA_AMF3):
            self.data_bytes += max(len(message.payload), LEAST_TALK)
            event = read_data(stream, message, self._oddities, self._charge)
            if event is not None:
                events.append(event)
        elif message.payload:
            _append(stream, message, events)

    def _charge(self, values: int) -> None:
        self.decoded_values += values

    def release(self, stream: MessageStream) -> None:
        """`stream` was accepted: what it sent without waiting is due."""
        self._due += stream.take_early()
        self.has_due = bool(self._due)

    def take_due(self, events: list[Event]) -> None:
        """Add what is due to `events`; after a `ProtocolError` it is still due."""
        for message in self._due:
            self.take_message(message, events)
        self._due, self.has_due = [], False

    def _keep_or_ignore(self, message: Message) -> None:
        stream = self._streams.find(message.stream_id)
        if stream is None or not stream.keep_early(message):
            self.ignored += 1


def _append(stream: int, message: Message, events: list[Event]) -> None:
    """Lengthen the run that `events` ends with, or begin one."""
    last = events[-1] if events else None
    if type(last) is MediaReceived and last.stream == stream:
        last.messages.append(message)
    else:
        events.append(MediaReceived(stream, [message]))
