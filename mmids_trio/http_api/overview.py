"""What the dashboard shows of everything at once: small, and made in turns, however much is on the air.

The lists of the API say all of each stream and of each client, page by page. A page that is open on a wall and looks
every few seconds needs neither, so clients are counted here, by stream and protocol.
"""

import json
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence

import trio
from attrs import define, field

from mmids_trio.http_api.control import Readiness, Workflows
from mmids_trio.http_api.disk_forecast import DiskView
from mmids_trio.http_api.schemas import (
    Hide,
    PublisherSummary,
    StreamSummary,
    TargetSummary,
    WorkflowSummary,
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


@define
class Overview:
    """Makes it, and keeps it for a moment. `hide` takes secrets out of free texts."""

    _workflows: Workflows
    _on_air: OnAir
    _readiness: Readiness | None
    _hide: Hide
    _disks: Callable[[], Sequence[DiskView]] = field(default=lambda: ())
    _text: str = field(default="", init=False)
    _good_until: float = field(default=float("-inf"), init=False)
    _making: trio.Lock = field(factory=trio.Lock, init=False)

    async def text(self) -> str:
        """As JSON. Several that ask at once wait for one that makes it."""
        async with self._making:
            began = trio.current_time()
            if began >= self._good_until:
                self._text = await in_turns(self._make())
                now = trio.current_time()
                self._good_until = now + max(FRESH_SECONDS, SHARE * (now - began))
            return self._text

    def _make(self) -> Generator[None, None, str]:
        watchers = yield from self._watchers()
        streams: list[str] = []
        for count, entry in enumerate(self._on_air.streams(), 1):
            if self._on_air.stream(entry.id) is entry:
                watching = watchers.by_stream.get(entry.id, Counter[str]())
                troubles = self._on_air.troubles(entry)
                streams.append(self._written(stream_summary(entry, watching, troubles)))
            if count % PER_TURN == 0:
                yield
        workflows: list[str] = []
        for count, name in enumerate(tuple(self._workflows.names()), 1):
            if (status := self._workflows.status(name)) is not None:
                workflows.append(self._written(workflow_summary(name, status)))
            if count % PER_TURN == 0:
                yield
        reasons = () if self._readiness is None else self._readiness.reasons()
        clients = {"publishers": watchers.publishers, "watchers": watchers.total}
        parts = (
            f'"streams": [{", ".join(streams)}]',
            f'"workflows": [{", ".join(workflows)}]',
            f'"clients": {json.dumps(clients)}',
            f'"disks": {json.dumps(to_json(self._disks(), self._hide))}',
            f'"reasons": {json.dumps([self._hide(reason) for reason in reasons])}',
        )
        return f"{{{', '.join(parts)}}}\n"

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


@define
class ClientCount:
    """How many there are: those who watch in all, and by stream and protocol."""

    publishers: int = 0
    total: int = 0
    by_stream: dict[str, Counter[str]] = field(factory=dict)


def stream_summary(entry: StreamEntry, watchers: Mapping[str, int], troubles: Sequence[StreamWarning]) -> StreamSummary:
    """What its card shows."""
    view = entry.view(trio.current_time(), sum(watchers.values()), troubles)
    video = next((track for track in view.tracks if track.kind == "video"), None)
    audio = next((track for track in view.tracks if track.kind == "audio"), None)
    source = view.source
    return StreamSummary(
        id=view.id,
        name=view.name,
        workflow=view.workflow,
        state=view.state,
        seconds_left=view.seconds_left,
        since=view.since,
        bitrate=sum(track.bitrate_10s or track.bitrate_1s or 0 for track in view.tracks),
        video=None if video is None else _video(video),
        audio=None if audio is None else _audio(audio),
        watchers=watchers,
        made_from=view.made_from,
        warnings=view.warnings,
        publisher=None
        if source is None
        else PublisherSummary(source.client, source.protocol, source.address, source.agent, source.location),
    )


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
    """What its line and the lamps of its targets show."""
    steps = status.active_steps
    return WorkflowSummary(
        name=name,
        state=status.state,
        reason=status.reason,
        owner=status.owner,
        steps=tuple(step.step_type for step in steps),
        publishers=sum(step.clients.publishers for step in steps),
        watchers=sum(step.clients.watchers for step in steps),
        targets=tuple(
            TargetSummary(stream.name, stream.target, stream.state == PUSHING, stream.message, stream.last_error)
            for step in steps
            for stream in step.streams
            if stream.target is not None
        ),
    )
