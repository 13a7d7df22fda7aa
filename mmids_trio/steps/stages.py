"""Which stream each key shows: the keys of one step that serves viewers, and the streams that want to be on them.

Apart from what a key's viewers are served, which may be one thing or several (`StageOutput`): RTMP's channel, or
HTTP-FLV's and the playlist of HLS.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

import structlog
from attrs import define, field

from mmids_trio.media.events import (
    MediaEvent,
    MediaPacket,
    Rendition,
    StreamEnded,
    StreamId,
    StreamMetadata,
    StreamStarted,
)
from mmids_trio.media.tracks import TrackKey, remember_header
from mmids_trio.media_memory import MediaMemory, MediaOwner
from mmids_trio.rtmp.server.registrations import ANY_KEY

log = structlog.get_logger()

FIRST_PURGE = 64
"""Keys at which unused ones are looked for the first time; a watcher may ask for any key there is."""


class StageOutput(Protocol):
    """Serves what is on one key. Fed synchronously; it stays when a stream ends."""

    @property
    def is_watched(self) -> bool:
        """Whether anybody is here."""

    def begin_stream(self, owner: MediaOwner | None = None, stream_id: StreamId | None = None) -> None:
        """Another stream begins, of `owner`."""

    def metadata(self, values: Mapping[str, object]) -> None:
        """The stream's metadata, in place of what was known."""

    def packet(self, packet: MediaPacket) -> None:
        """A frame or a sequence header."""

    def end_stream(self) -> None:
        """The stream is over; viewers stay for the next one."""

    async def send_pass(self) -> None:
        """Send to all viewers what they have not got yet, without waiting for any."""

    def let_go(self) -> None:
        """Hold nothing any more; nobody is served."""


Outputs = TypeVar("Outputs", bound="Sequence[StageOutput]")
"""Those of one key: a tuple, or a named one."""


@define(eq=False)
class Stage(Generic[Outputs]):
    """One key: what serves its viewers, and the streams that want to be on it, the served one first."""

    key: str
    outputs: Outputs
    feeds: list["_Feed[Outputs]"] = field(factory=list)

    @property
    def served(self) -> StreamId | None:
        """The stream that is shown."""
        return self.feeds[0].stream_id if self.feeds else None

    @property
    def is_used(self) -> bool:
        """Whether anybody publishes or watches it."""
        return bool(self.feeds) or any(output.is_watched for output in self.outputs)


@define(eq=False)
class _Feed(Generic[Outputs]):
    """One live stream, the stage that it wants, and what the stage must be told when it turns to it."""

    stage: Stage[Outputs]
    stream_id: StreamId
    name: str
    owner: MediaOwner
    rendition: Rendition | None = None
    metadata: StreamMetadata | None = None
    headers: dict[TrackKey, MediaPacket] = field(factory=dict)

    @property
    def is_served(self) -> bool:
        return self.stage.feeds[0] is self

    def show(self) -> None:
        """Put the stream on its stage, with all that is known of it."""
        for output in self.stage.outputs:
            output.begin_stream(self.owner, self.stream_id)
            if self.metadata is not None:
                output.metadata(self.metadata.values)
            for header in self.headers.values():
                output.packet(header)


@define(eq=False)
class Stages(Generic[Outputs]):
    """The keys of one step. `key` is exact, and gets the first stream that comes, or `ANY_KEY`."""

    key: str
    memory: MediaMemory = field(factory=MediaMemory, kw_only=True)
    """Where what is held is charged."""
    guests: set[StreamId] = field(factory=set, init=False)
    """Streams that other nodes have: of this node's, any takes their place."""
    on_turn: "Callable[[Stage[Outputs]], None]" = field(default=lambda _stage: None, init=False)
    """Told that a stream has begun or ended on a stage, whether it is shown or not."""
    _feeds: dict[StreamId, _Feed[Outputs]] = field(factory=dict, init=False)
    _with_rendition: dict[StreamId, _Feed[Outputs]] = field(factory=dict, init=False)
    """Those of them that are renditions."""
    _stages: dict[str, Stage[Outputs]] = field(factory=dict, init=False)
    _purge_at: int = field(default=FIRST_PURGE, init=False)

    def make_outputs(self, key: str) -> Outputs:
        """What serves the viewers of a key."""
        raise NotImplementedError

    def forget(self, outputs: Outputs) -> None:
        """These serve nobody any more; they have let go of what they held."""

    @property
    def stages(self) -> Sequence[Stage[Outputs]]:
        """All that there are."""
        return list(self._stages.values())

    def stage(self, key: str) -> Stage[Outputs]:
        """That of a key; a viewer may wait there for a stream to begin."""
        stage = self._stages.get(key)
        if stage is None:
            self._purge()
            stage = self._stages[key] = Stage(key, self.make_outputs(key))
        return stage

    def has_local(self, key: str) -> bool:
        """Whether a stream of this node is on a key."""
        stage = self._stages.get(key)
        return stage is not None and any(feed.stream_id not in self.guests for feed in stage.feeds)

    def stage_of(self, stream_id: StreamId) -> Stage[Outputs] | None:
        """Where a stream is shown, if it is."""
        feed = self._feeds.get(stream_id)
        return feed.stage if feed is not None and feed.is_served else None

    def rendition_on(self, stage: Stage[Outputs]) -> Rendition | None:
        """Of what the stream on a stage is a rendition, if it is one."""
        return stage.feeds[0].rendition if stage.feeds else None

    def renditions_of(self, source: StreamId) -> Sequence[tuple[Stage[Outputs], Rendition]]:
        """Where renditions of a stream are shown."""
        return [
            (feed.stage, feed.rendition)
            for feed in self._with_rendition.values()
            if feed.rendition is not None and feed.rendition.of == source and feed.is_served
        ]

    def close(self) -> None:
        """The step ends: nothing is held any more."""
        for stage in self._stages.values():
            for output in stage.outputs:
                output.let_go()

    def feed(self, events: Sequence[MediaEvent]) -> list[StageOutput]:
        """Hand events to the outputs; returns those that now have something to send."""
        touched: dict[StageOutput, None] = {}
        feeds = self._feeds
        for event in events:
            if type(event) is MediaPacket and not event.is_sequence_header:  # nearly all: one call for each output
                feed = feeds.get(event.stream_id)
                if feed is not None and (stage := feed.stage).feeds[0] is feed:
                    for output in stage.outputs:
                        output.packet(event)
                        touched[output] = None
                continue
            for output in self._feed_one(event):
                touched[output] = None
        return list(touched)

    def _feed_one(self, event: MediaEvent) -> Sequence[StageOutput]:
        if isinstance(event, StreamStarted):
            return self._start(event)
        feed = self._feeds.get(event.stream_id)
        if feed is None:
            return ()
        outputs = feed.stage.outputs
        if isinstance(event, MediaPacket):
            remember_header(feed.headers, event)
            if not feed.is_served:
                return ()
            for output in outputs:
                output.packet(event)
        elif isinstance(event, StreamMetadata):
            feed.metadata = event
            if not feed.is_served:
                return ()
            for output in outputs:
                output.metadata(event.values)
        else:
            self._end(event, feed)
        return outputs

    def _start(self, event: StreamStarted) -> Sequence[StageOutput]:
        stage = self._stage_for(event)
        feed = self._feeds[event.stream_id] = _Feed(
            stage, event.stream_id, event.stream_name, self.memory.owner_of(event.source_id), event.rendition
        )
        is_guest = event.stream_id in self.guests
        if not is_guest and stage.served in self.guests:
            stage.feeds.insert(0, feed)
        else:
            stage.feeds.append(feed)
        if event.rendition is not None:
            self._with_rendition[event.stream_id] = feed
        if feed.is_served:
            feed.show()
        elif not is_guest:
            log.warning("stream waits, its stream key is taken", stream=feed.name, served=stage.feeds[0].name)
        self.on_turn(stage)
        return stage.outputs if feed.is_served else ()

    def _stage_for(self, event: StreamStarted) -> Stage[Outputs]:
        """Where a stream is to be shown."""
        return self.stage(event.stream_name if self.key == ANY_KEY else self.key)

    def _end(self, event: StreamEnded, feed: _Feed[Outputs]) -> None:
        stage = feed.stage
        was_served = feed.is_served
        stage.feeds.remove(feed)
        del self._feeds[event.stream_id]
        self._with_rendition.pop(event.stream_id, None)
        if was_served:
            for output in stage.outputs:
                output.end_stream()
            if stage.feeds:
                stage.feeds[0].show()
        self.on_turn(stage)

    def _purge(self) -> None:
        """Forget keys that nobody publishes or watches any more, now and then."""
        if len(self._stages) >= self._purge_at:
            for stage in self._stages.values():
                if not stage.is_used:
                    for output in stage.outputs:
                        output.let_go()
                    self.forget(stage.outputs)
            self._stages = {key: stage for key, stage in self._stages.items() if stage.is_used}
            self._purge_at = max(FIRST_PURGE, 2 * len(self._stages))
