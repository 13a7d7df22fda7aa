"""What the dashboard shows of everything at once: small, and made in turns, however much is on the air.

The lists of the API say all of each stream and of each client, page by page. A page that is open on a wall and looks
every few seconds needs neither, so clients are counted here, by stream and protocol. It is in two parts: figures, and
what people have chosen or what is told of them (`said`), as the two may not be compressed alike.
"""

import json
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence

import trio
from attrs import define, field, frozen

from mmids_trio.http_api.control import Readiness, Workflows
from mmids_trio.http_api.disk_forecast import DiskView
from mmids_trio.http_api.schemas import (
    Hide,
    Json,
    PublisherSummary,
    StreamSummary,
    StreamWords,
    TargetSummary,
    WorkflowSummary,
    WorkflowWords,
    to_json,
)
from mmids_trio.on_air.directory import OnAir, StreamEntry
from mmids_trio.on_air.views import StreamWarning, TrackView
from mmids_trio.turns import in_turns
from mmids_trio.workflow.status import WorkflowStatus

PER_TURN = 10
"""Streams or workflows looked at before everybody else has a turn: some milliseconds."""

CLIENTS_PER_TURN = 200

FRESH_SECONDS = 1.0
"""How long one answer is good at least, for all pages that ask: a second page costs next to nothing."""

SHARE = 50
"""As many times as long as it took to make is it good: all pages together take 2 % of the loop's time at most."""


CODECS = {"avc1": "H.264", "hvc1": "HEVC", "av01": "AV1", "vp09": "VP9", "mp4a": "AAC", "fLaC": "FLAC", "ac-3": "AC-3"}
"""What people call them."""

PUSHING = "publishing"
"""The state of a target that gets media."""

LEAST_COMPRESSED = 4096
"""Bytes; a smaller answer fits into a few packets as it is."""

LEVEL = 1
"""200 kB in 0.5 ms, so it need not leave the loop; level 6 takes four times as long for a seventh less."""

GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
"""RFC 1952: deflate, nothing said of a file, no time, the fastest, unknown system."""


@frozen(eq=False)
class Answer:
    """An overview as JSON, in two parts; nothing in `figures` is a secret."""

    figures: bytes
    said: bytes

    @property
    def plain(self) -> bytes:
        """All of it."""
        return self.figures + self.said

    def compressed(self) -> bytes | None:
        """As gzip has it; `None` where it is too small to gain anything.

        How long a compressed text is tells who can see packets whether what they have put there (as the name of a
        program, say) is a part of a secret, such as another's stream key (BREACH). So `said` is stored, as deflate
        calls it, in blocks of its own: none of it refers to anything, and nothing refers to it.
        """
        if len(self.figures) < LEAST_COMPRESSED:
            return None
        packer = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        storer = zlib.compressobj(0, zlib.DEFLATED, -zlib.MAX_WBITS)
        checksum = zlib.crc32(self.said, zlib.crc32(self.figures))
        size = len(self.figures) + len(self.said)
        return b"".join(
            (
                GZIP_HEAD,
                packer.compress(self.figures),
                packer.flush(zlib.Z_FULL_FLUSH),
                storer.compress(self.said),
                storer.flush(),
                checksum.to_bytes(4, "little"),
                (size % 2**32).to_bytes(4, "little"),
            )
        )


@define
class Overview:
    """Makes it, and keeps it for a moment. `hide` takes secrets out of free texts."""

    _workflows: Workflows
    _on_air: OnAir
    _readiness: Readiness | None
    _hide: Hide
    _disks: Callable[[], Sequence[DiskView]] = field(default=lambda: ())
    _answer: Answer = field(default=Answer(b"", b""), init=False)
    _compressed: bytes | None = field(default=None, init=False)
    _good_until: float = field(default=float("-inf"), init=False)
    _making: trio.Lock = field(factory=trio.Lock, init=False)

    async def plain(self) -> bytes:
        """As JSON. Several that ask at once wait for one that makes it."""
        await self._refresh()
        return self._answer.plain

    async def compressed(self) -> bytes | None:
        """The same as gzip has it, made once; `None` where that is not worth it."""
        await self._refresh()
        if self._compressed is None:
            self._compressed = self._answer.compressed()
        return self._compressed

    async def _refresh(self) -> None:
        async with self._making:
            began = trio.current_time()
            if began >= self._good_until:
                self._answer = await in_turns(self._make())
                self._compressed = None
                now = trio.current_time()
                self._good_until = now + max(FRESH_SECONDS, SHARE * (now - began))

    def _make(self) -> Generator[None, None, Answer]:
        watchers = yield from self._watchers()
        streams, stream_words = [], []
        for count, entry in enumerate(self._on_air.streams(), 1):
            if self._on_air.stream(entry.id) is entry:
                watching = watchers.by_stream.get(entry.id, Counter[str]())
                summary, words = summaries_of_stream(entry, watching, self._on_air.troubles(entry))
                streams.append(self._written(summary))
                stream_words.append(json.dumps(list(self._fields(words).values())))
            if count % PER_TURN == 0:
                yield
        workflows, workflow_words = [], []
        for count, name in enumerate(tuple(self._workflows.names()), 1):
            if (status := self._workflows.status(name)) is not None:
                workflows.append(self._written(workflow_summary(name, status)))
                if words_of_it := self._fields(workflow_words_of(status)):
                    workflow_words.append(f"{json.dumps(name)}: {json.dumps(words_of_it)}")
            if count % PER_TURN == 0:
                yield
        reasons = () if self._readiness is None else self._readiness.reasons()
        clients = {"publishers": watchers.publishers, "watchers": watchers.total}
        figures = (
            f'{{"streams": [{", ".join(streams)}], "workflows": [{", ".join(workflows)}], '
            f'"clients": {json.dumps(clients)}, '
        )
        said = (
            f'"said": {{"streams": [{", ".join(stream_words)}], "workflows": {{{", ".join(workflow_words)}}}}}, '
            f'"disks": {json.dumps(to_json(self._disks(), self._hide))}, '
            f'"reasons": {json.dumps([self._hide(reason) for reason in reasons])}}}\n'
        )
        return Answer(figures.encode(), said.encode())

    def _watchers(self) -> Generator[None, None, "ClientCount"]:
        counted = ClientCount()
        for count, entry in enumerate(self._on_air.clients(), 1):
            if entry.asked.role == "publisher":
                counted.publishers += 1
            else:
                counted.total += 1
                if (stream := self._on_air.stream_watched(entry)) is not None:
                    counted.by_stream.setdefault(stream, Counter())[entry.peer.protocol] += 1
            if count % CLIENTS_PER_TURN == 0:
                yield
        return counted

    def _written(self, content: StreamSummary | WorkflowSummary) -> str:
        return json.dumps(to_json(content, self._hide))

    def _fields(self, content: StreamWords | WorkflowWords) -> dict[str, Json]:
        fields = to_json(content, self._hide)
        assert isinstance(fields, dict)
        return fields


@define
class ClientCount:
    """How many there are: those who watch in all, and by stream and protocol."""

    publishers: int = 0
    total: int = 0
    by_stream: dict[str, Counter[str]] = field(factory=dict)


def summaries_of_stream(
    entry: StreamEntry, watchers: Mapping[str, int], troubles: Sequence[StreamWarning]
) -> tuple[StreamSummary, StreamWords]:
    """What its card shows."""
    view = entry.view(trio.current_time(), sum(watchers.values()), troubles)
    video = next((track for track in view.tracks if track.kind == "video"), None)
    audio = next((track for track in view.tracks if track.kind == "audio"), None)
    source = view.source
    summary = StreamSummary(
        id=view.id,
        workflow=view.workflow,
        state=view.state,
        seconds_left=view.seconds_left,
        since=view.since,
        bitrate=sum(track.bitrate_10s or track.bitrate_1s or 0 for track in view.tracks),
        video=None if video is None else _video(video),
        audio=None if audio is None else _audio(audio),
        watchers=watchers,
        made_from=view.made_from,
        publisher=None if source is None else PublisherSummary(source.client, source.protocol),
    )
    words = StreamWords(
        name=view.name,
        warnings=view.warnings,
        address=None if source is None else source.address,
        agent=None if source is None else source.agent,
        location=None if source is None else source.location,
    )
    return summary, words


def _video(track: TrackView) -> str:
    size = f"{track.width}\u00d7{track.height}" if track.width and track.height else None
    rate = None if track.frame_rate is None else f"{track.frame_rate:.0f} fps"
    return " ".join(filter(None, (_codec(track, "video"), size, rate)))


def _audio(track: TrackView) -> str:
    rate = None if track.sample_rate is None else f"{track.sample_rate / 1000:g} kHz"
    return " ".join(filter(None, (_codec(track, "audio"), rate)))


def _codec(track: TrackView, unknown: str) -> str:
    return unknown if track.codec is None else CODECS.get(track.codec, track.codec)


def workflow_summary(name: str, status: WorkflowStatus) -> WorkflowSummary:
    """What its line shows."""
    steps = status.active_steps
    return WorkflowSummary(
        name=name,
        state=status.state,
        owner=None if _owner_says_stream(status) else status.owner,
        steps=tuple(step.step_type for step in steps),
        publishers=sum(step.clients.publishers for step in steps),
        watchers=sum(step.clients.watchers for step in steps),
    )


def workflow_words_of(status: WorkflowStatus) -> WorkflowWords:
    """What its line and the lamps of its targets say."""
    return WorkflowWords(
        reason=status.reason,
        owner=status.owner if _owner_says_stream(status) else None,
        targets=tuple(
            TargetSummary(stream.name, stream.target, stream.state == PUSHING, stream.message, stream.last_error)
            for step in status.active_steps
            for stream in step.streams
            if stream.target is not None
        ),
    )


def _owner_says_stream(status: WorkflowStatus) -> bool:
    return status.owner is not None and status.owner.stream is not None
