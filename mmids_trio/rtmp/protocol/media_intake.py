"""Media and data messages of publishers: which of them count, and how they become events.

This is the hot path of the server's machine, thousands of messages for every command, so it stands
apart from the conversation and does little: one look-up, and an entry in the list of a run.
"""

from mmids_trio.rtmp.protocol import message_types as types
from mmids_trio.rtmp.protocol.aggregate import split_aggregate
from mmids_trio.rtmp.protocol.data_messages import read_data
from mmids_trio.rtmp.protocol.events import Event, MediaReceived
from mmids_trio.rtmp.protocol.limits import LEAST_TALK
from mmids_trio.rtmp.protocol.message import Message
from mmids_trio.rtmp.protocol.message_streams import MessageStream, MessageStreams


class MediaIntake:
    """Takes the messages that belong to the publishing ones of `streams`; `ignored` counts the rest."""

    def __init__(self, streams: MessageStreams) -> None:
        self.ignored = 0
        self.data_bytes = 0
        """Bytes of data messages that were read, each counted as `LEAST_TALK` at least."""
        self._streams = streams
        self._due: list[Message] = []

    def take(self, message: Message, events: list[Event]) -> None:
        """Add one audio, video, data or aggregate message to `events`."""
        if message.type_id == types.AGGREGATE:
            for part in split_aggregate(message):
                if part.type_id in (types.AUDIO, types.VIDEO, types.DATA_AMF0):
                    self.take(part, events)
            return
        stream = self._streams.media_routes.get(message.stream_id)
        if stream is None:
            self._keep_or_ignore(message)
        elif message.type_id in (types.DATA_AMF0, types.DATA_AMF3):
            self.data_bytes += max(len(message.payload), LEAST_TALK)
            event = read_data(stream, message)
            if event is not None:
                events.append(event)
        elif message.payload:
            _append(stream, message, events)

    def release(self, stream: MessageStream) -> None:
        """`stream` was accepted: what it sent without waiting is due."""
        self._due += stream.take_early()

    def take_due(self, events: list[Event]) -> None:
        """Add what is due to `events`."""
        due, self._due = self._due, []
        for message in due:
            self.take(message, events)

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
