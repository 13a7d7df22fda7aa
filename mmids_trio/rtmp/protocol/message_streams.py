"""The message streams of one server connection: what each of them does, and how that may change.

The table is the whole truth, `MessageStreams.move` is the only way through it; the connection decides
what to say about a move, never whether it is legal.
"""

from collections.abc import Iterator
from enum import Enum

from attrs import define, field

from mmids_trio.errors import ProtocolError
from mmids_trio.guards import Guard
from mmids_trio.rtmp.protocol.message import Message
from mmids_trio.rtmp.protocol.requests import PlayRequest, PublishRequest

MAX_MESSAGE_STREAMS = 16
"""Streams that one connection may have at a time; clients use one, some Flash players a handful."""


MAX_EARLY_MEDIA = 256 * 1024
"""Bytes of media kept for a publisher whose request is not answered yet: headers and some seconds of most."""

EARLY_MESSAGE_COST = 256
"""Bytes that count for a kept message beside its payload, about what Python takes for it."""


class StreamState(Enum):
    """What a message stream does at present."""

    IDLE = "idle"
    PUBLISH_REQUESTED = "publish requested"
    PUBLISHING = "publishing"
    PLAY_REQUESTED = "play requested"
    PLAYING = "playing"


class Trigger(Enum):
    """What moves a message stream: the client's wishes and the owner's answers."""

    PUBLISH = "publish"
    PLAY = "play"
    ACCEPT = "accept"
    REFUSE = "refuse"
    END = "end"


TRANSITIONS = {
    (StreamState.IDLE, Trigger.PUBLISH): StreamState.PUBLISH_REQUESTED,
    (StreamState.IDLE, Trigger.PLAY): StreamState.PLAY_REQUESTED,
    (StreamState.PUBLISH_REQUESTED, Trigger.ACCEPT): StreamState.PUBLISHING,
    (StreamState.PUBLISH_REQUESTED, Trigger.REFUSE): StreamState.IDLE,
    (StreamState.PUBLISH_REQUESTED, Trigger.END): StreamState.IDLE,
    (StreamState.PUBLISHING, Trigger.END): StreamState.IDLE,
    (StreamState.PLAY_REQUESTED, Trigger.ACCEPT): StreamState.PLAYING,
    (StreamState.PLAY_REQUESTED, Trigger.REFUSE): StreamState.IDLE,
    (StreamState.PLAY_REQUESTED, Trigger.END): StreamState.IDLE,
    (StreamState.PLAYING, Trigger.END): StreamState.IDLE,
}

PUBLISH_STATES = frozenset({StreamState.PUBLISH_REQUESTED, StreamState.PUBLISHING})
PLAY_STATES = frozenset({StreamState.PLAY_REQUESTED, StreamState.PLAYING})


@define(eq=False)
class MessageStream:
    """One message stream; `request` is what it was asked to do, `None` while it is idle.

    Some publishers send media without waiting for the answer; what comes first (their sequence headers)
    is kept until then, within `MAX_EARLY_MEDIA`.
    """

    stream_id: int
    state: StreamState = StreamState.IDLE
    request: PublishRequest | PlayRequest | None = None
    _early_media: list[Message] = field(factory=list, init=False)
    _early_cost: int = field(default=0, init=False)

    def keep_early(self, message: Message) -> bool:
        """Keep a message of an unanswered publisher; false when it is none, or has sent too much."""
        cost = len(message.payload) + EARLY_MESSAGE_COST
        if self.state is not StreamState.PUBLISH_REQUESTED or self._early_cost + cost > MAX_EARLY_MEDIA:
            return False
        self._early_cost += cost
        self._early_media.append(message)
        return True

    def take_early(self) -> list[Message]:
        """What was kept, in order; nothing is kept afterwards."""
        taken, self._early_media, self._early_cost = self._early_media, [], 0
        return taken


@define
class MessageStreams:
    """The created streams by id, and `media_routes`: where media with a given message stream id belongs.

    Some clients publish on message stream 0 although they created one; unless stream 0 is in use for itself,
    what comes on it is meant for the lowest stream that was created.
    """

    media_routes: dict[int, int] = field(factory=dict, init=False)
    _streams: dict[int, MessageStream] = field(factory=dict, init=False)

    def __iter__(self) -> Iterator[MessageStream]:
        return iter(list(self._streams.values()))

    def create(self) -> int | None:
        """Create the stream with the lowest free id from 1 on; `None` when there are too many."""
        for stream_id in range(1, MAX_MESSAGE_STREAMS + 1):
            if stream_id not in self._streams:
                self._streams[stream_id] = MessageStream(stream_id)
                return stream_id
        return None

    def find(self, stream_id: int) -> MessageStream | None:
        """The stream that `stream_id` stands for, if there is one."""
        if stream_id == 0 and 0 not in self._streams and self._streams:
            return self._streams[min(self._streams)]
        return self._streams.get(stream_id)

    def find_or_create(self, stream_id: int) -> MessageStream:
        """Like `find`, but a stream that the client forgot to create appears, if its id is a possible one."""
        stream = self.find(stream_id)
        if stream is None:
            if not 0 <= stream_id <= MAX_MESSAGE_STREAMS:
                raise ProtocolError(
                    f"message stream {stream_id} was never created (0 to {MAX_MESSAGE_STREAMS} are usable)",
                    Guard.MESSAGE_STREAMS,
                )
            stream = self._streams[stream_id] = MessageStream(stream_id)
        return stream

    def delete(self, stream: MessageStream) -> None:
        """Forget an idle stream; its id may be used again."""
        del self._streams[stream.stream_id]
        self._route_media()

    def move(
        self, stream: MessageStream, trigger: Trigger, request: PublishRequest | PlayRequest | None = None
    ) -> None:
        """Move `stream` along the table. Every change of state goes through here."""
        target = TRANSITIONS.get((stream.state, trigger))
        if target is None:
            raise ProtocolError(f"{trigger.value} on message stream {stream.stream_id}, which is {stream.state.value}")
        stream.state = target
        if target is StreamState.IDLE:
            stream.request = None
            stream.take_early()
        elif request is not None:
            stream.request = request
        self._route_media()

    def _route_media(self) -> None:
        publishing = [s.stream_id for s in self if s.state is StreamState.PUBLISHING]
        self.media_routes = {stream_id: stream_id for stream_id in publishing}
        if 0 not in self._streams and publishing:
            self.media_routes[0] = min(publishing)
