"""What a connected client says about its message streams (createStream, publish, play ...), and what becomes of them.

The states of a stream are a table.  Every command has one method, found through another, and every change of a stream
goes through `MessageStreams.move`.
"""

from collections.abc import Callable, Iterator, Mapping
from enum import Enum

from attrs import define, field

from mmids_trio.errors import ProtocolError
from mmids_trio.rejections import RejectReason
from mmids_trio.rtmp.protocol import server_replies as replies
from mmids_trio.rtmp.protocol.commands import Command, as_number, as_string, error, status_message
from mmids_trio.rtmp.protocol.events import (
    AudioWanted,
    Event,
    PlayEnded,
    PlayPaused,
    PlayRequested,
    PublishEnded,
    PublishRequested,
    VideoWanted,
)
from mmids_trio.rtmp.protocol.limits import (
    MAX_BUFFERED,
    MAX_BUFFERED_BEFORE_PUBLISH,
    MAX_BUFFERED_OF_PLAYER,
)
from mmids_trio.rtmp.protocol.message import Message
from mmids_trio.rtmp.protocol.outgoing import Outgoing
from mmids_trio.rtmp.protocol.requests import (
    ConnectRequest,
    PlayRequest,
    PublishRequest,
    play2_request,
    play_request,
    publish_request,
    split_name,
)

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
    early_cost: int = field(default=0, init=False)

    def keep_early(self, message: Message) -> bool:
        """Keep a message of an unanswered publisher; false when it is none, or has sent too much."""
        cost = len(message.payload) + EARLY_MESSAGE_COST
        if self.state is not StreamState.PUBLISH_REQUESTED or self.early_cost + cost > MAX_EARLY_MEDIA:
            return False
        self.early_cost += cost
        self._early_media.append(message)
        return True

    def take_early(self) -> list[Message]:
        """What was kept, in order; nothing is kept afterwards."""
        taken, self._early_media, self.early_cost = self._early_media, [], 0
        return taken


@define
class MessageStreams:
    """The created streams by id, and `media_routes`: where media with a given message stream id belongs.

    Some clients publish on message stream 0 although they created one; unless stream 0 is in use for itself,
    what comes on it is meant for the lowest stream that was created.
    """

    media_routes: dict[int, int] = field(factory=dict, init=False)
    max_buffered: int = field(default=MAX_BUFFERED_BEFORE_PUBLISH, init=False)
    """Bytes of unfinished messages that the client may have, by the most that any of its streams does."""
    is_publish_awaited: bool = field(default=False, init=False)
    """Whether a request to publish is not answered yet."""
    _streams: dict[int, MessageStream] = field(factory=dict, init=False)

    def __iter__(self) -> Iterator[MessageStream]:
        return iter(list(self._streams.values()))

    @property
    def early_bytes(self) -> int:
        """What is kept of publishers whose requests are not answered yet."""
        if not self.is_publish_awaited:
            return 0
        return sum(stream.early_cost for stream in self)

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
                    RejectReason.MESSAGE_STREAMS,
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
        states = {stream.state for stream in self}
        self.is_publish_awaited = StreamState.PUBLISH_REQUESTED in states
        if publishing:
            self.max_buffered = MAX_BUFFERED
        elif StreamState.PLAYING in states and not self.is_publish_awaited:
            self.max_buffered = MAX_BUFFERED_OF_PLAYER
        else:
            self.max_buffered = MAX_BUFFERED_BEFORE_PUBLISH


class StreamCommands:
    """Answers the commands of a client that is connected as `connect` says, into `outgoing`."""

    def __init__(self, connect: ConnectRequest, streams: MessageStreams, outgoing: Outgoing) -> None:
        self._connect = connect
        self._streams = streams
        self._outgoing = outgoing

    def handle(self, command: Command) -> list[Event]:
        """Act on one command and say what the owner has to know of it."""
        handler = HANDLERS.get(command.name)
        if handler is not None:
            return handler(self, command)
        if command.wants_result and command.name not in ANSWERS:
            description = f"There is no command {command.name[:MAX_NAME_TO_REPEAT]}."
            self._outgoing.send(error(command, "NetConnection.Call.Failed", description))
        return []

    def answer(self, request: PublishRequest | PlayRequest, trigger: Trigger) -> bool:
        """Move the stream of `request` by the owner's answer; false when the client withdrew the request."""
        stream = self._streams.find(request.stream)
        if stream is None or stream.request is not request:
            return False
        self._streams.move(stream, trigger)
        return True

    def end(self, stream: MessageStream) -> list[Event]:
        """End whatever `stream` does."""
        if stream.state is StreamState.IDLE:
            return []
        was_publish = stream.state in PUBLISH_STATES
        if stream.state is StreamState.PUBLISHING and stream.request is not None:
            self._outgoing.send(replies.publish_ended(stream.stream_id, stream.request.key))
        self._streams.move(stream, Trigger.END)
        return [PublishEnded(stream.stream_id) if was_publish else PlayEnded(stream.stream_id)]

    def _create_stream(self, command: Command) -> list[Event]:
        stream_id = self._streams.create()
        if stream_id is None:
            self._outgoing.send(error(command, "NetConnection.Call.Failed", "Too many message streams."))
        else:
            self._outgoing.send(replies.stream_created(command, stream_id))
        return []

    def _publish(self, command: Command) -> list[Event]:
        stream = self._streams.find_or_create(command.stream_id)
        events = self.end(stream)
        request = publish_request(self._connect, stream.stream_id, command)
        self._streams.move(stream, Trigger.PUBLISH, request)
        return [*events, PublishRequested(request)]

    def _play(self, command: Command) -> list[Event]:
        if command.argument(1) is False:  # Flash: stop playing
            return self._close_stream(command)
        return self._request_play(command, play_request)

    def _play2(self, command: Command) -> list[Event]:
        return self._request_play(command, play2_request)

    def _request_play(
        self, command: Command, read: Callable[[ConnectRequest, int, Command], PlayRequest]
    ) -> list[Event]:
        stream = self._streams.find_or_create(command.stream_id)
        events = self.end(stream)
        request = read(self._connect, stream.stream_id, command)
        self._streams.move(stream, Trigger.PLAY, request)
        return [*events, PlayRequested(request)]

    def _close_stream(self, command: Command) -> list[Event]:
        stream = self._streams.find(command.stream_id)
        return [] if stream is None else self.end(stream)

    def _delete_stream(self, command: Command) -> list[Event]:
        stream = self._streams.find(as_number(command.argument(1), int))
        if stream is None:
            return []
        events = self.end(stream)
        self._streams.delete(stream)
        return events

    def _fc_unpublish(self, command: Command) -> list[Event]:
        """It names a key instead of a stream; with one publisher on the connection any name will do."""
        self._answer_nothing(command)
        key, _ = split_name(as_string(command.argument(1)))
        publishers = [stream for stream in self._streams if stream.state in PUBLISH_STATES]
        named = [stream for stream in publishers if stream.request is not None and stream.request.key == key]
        if not named and len(publishers) == 1:
            named = publishers
        return [event for stream in named for event in self.end(stream)]

    def _fc_publish(self, command: Command) -> list[Event]:
        self._answer_nothing(command)
        key = as_string(command.argument(1))
        self._outgoing.send(replies.flash_encoder_notice("onFCPublish", "NetStream.Publish.Start", key))
        return []

    def _fc_subscribe(self, command: Command) -> list[Event]:
        self._answer_nothing(command)
        key = as_string(command.argument(1))
        self._outgoing.send(replies.flash_encoder_notice("onFCSubscribe", "NetStream.Play.Start", key))
        return []

    def _answer_nothing(self, command: Command) -> list[Event]:
        if command.wants_result:
            self._outgoing.send(replies.nothing_to_say(command))
        return []

    def _get_stream_length(self, command: Command) -> list[Event]:
        self._outgoing.send(replies.stream_length(command))
        return []

    def _playing(self, command: Command) -> MessageStream | None:
        stream = self._streams.find(command.stream_id)
        return stream if stream is not None and stream.state is StreamState.PLAYING else None

    def _pause(self, command: Command) -> list[Event]:
        stream = self._playing(command)
        if stream is None:
            return []
        is_paused = command.argument(1) is True
        self._outgoing.send(replies.paused(stream.stream_id, is_paused))
        return [PlayPaused(stream.stream_id, is_paused)]

    def _seek(self, command: Command) -> list[Event]:
        stream = self._playing(command)
        if stream is not None:
            self._outgoing.send(replies.sought(stream.stream_id))
        return []

    def _receive_audio(self, command: Command) -> list[Event]:
        stream = self._playing(command)
        return [] if stream is None else [AudioWanted(stream.stream_id, command.argument(1) is not False)]

    def _receive_video(self, command: Command) -> list[Event]:
        stream = self._playing(command)
        return [] if stream is None else [VideoWanted(stream.stream_id, command.argument(1) is not False)]

    def accept_publish(self, request: PublishRequest) -> bool:
        """See `ServerConnection.accept_publish`."""
        accepted = self.answer(request, Trigger.ACCEPT)
        if accepted:
            self._outgoing.send(*replies.publish_accepted(request.stream, request.key))
        return accepted

    def accept_play(self, request: PlayRequest) -> bool:
        """See `ServerConnection.accept_play`."""
        accepted = self.answer(request, Trigger.ACCEPT)
        if accepted:
            self._outgoing.send(*replies.play_accepted(request))
        return accepted

    def refuse(self, request: PublishRequest | PlayRequest, code: str, description: str) -> bool:
        """Answer `request` with an `onStatus` of level `error`."""
        refused = self.answer(request, Trigger.REFUSE)
        if refused:
            self._outgoing.send(status_message(request.stream, "error", code, description))
        return refused


MAX_NAME_TO_REPEAT = 64
"""Characters of an unknown command's name that its `_error` repeats."""

ANSWERS = frozenset({"_result", "_error", "onStatus"})
"""Answers to what we never asked; answering them in turn would never end."""

HANDLERS: Mapping[str, Callable[[StreamCommands, Command], list[Event]]] = {
    "createStream": StreamCommands._create_stream,
    "publish": StreamCommands._publish,
    "play": StreamCommands._play,
    "play2": StreamCommands._play2,
    "closeStream": StreamCommands._close_stream,
    "deleteStream": StreamCommands._delete_stream,
    "FCPublish": StreamCommands._fc_publish,
    "FCUnpublish": StreamCommands._fc_unpublish,
    "FCSubscribe": StreamCommands._fc_subscribe,
    "FCUnsubscribe": StreamCommands._answer_nothing,
    "releaseStream": StreamCommands._answer_nothing,
    "_checkbw": StreamCommands._answer_nothing,
    "getStreamLength": StreamCommands._get_stream_length,
    "pause": StreamCommands._pause,
    "pauseRaw": StreamCommands._pause,
    "seek": StreamCommands._seek,
    "receiveAudio": StreamCommands._receive_audio,
    "receiveVideo": StreamCommands._receive_video,
}
