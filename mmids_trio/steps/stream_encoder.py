"""How much a stream's transcoder encodes, as its sequence headers and frames tell; kept up to date while it runs.

Apart from the step since what publishers say of their media decides here what a server does for them.
"""

from collections.abc import Callable, Sequence

from attrs import define, field

from mmids_trio.continuity.formats import FRAMES_SEEN, USUAL_FPS, FormatObserver, VideoFormat
from mmids_trio.continuity.program import FeedMemory
from mmids_trio.ffmpeg.capacity import Encoding
from mmids_trio.ffmpeg.parameters import Size
from mmids_trio.media.events import MediaEvent, MediaKind, MediaPacket, StreamMetadata
from mmids_trio.media.tracks import is_of_main_track

ARRIVAL_SECONDS = 10.0
"""Over which frames are counted as they come."""

ARRIVAL_TOLERANCE = 2.0
"""Times the rate by timestamps that frames may come at: a publisher catches up after a hiccup of its network."""

FPS_TOLERANCE = 0.1
"""Part of the frame rate that it has to change by to count as another: timestamps jitter."""


@define(eq=False)
class StreamEncoder:
    """Watches one stream. `encoding` is what its child is let in by."""

    sizes: Callable[[Size], Sequence[Size]]
    """Of all pictures that a child makes of one, by the size of that."""
    asked_fps: int | None = None
    """Pictures a second; `None`: as many as come."""
    encoding: Encoding = field(factory=lambda: Encoding(0), init=False)
    source: Size | None = field(default=None, init=False)
    """Of the stream's pictures, where it is known."""
    _sizes: Sequence[Size] = field(default=(), init=False)
    """Of the pictures that the next child would make."""
    _running_sizes: Sequence[Size] = field(default=(), init=False)
    """Of those of the one that runs, which are of one size from its start to its end."""
    _memory: FeedMemory = field(factory=FeedMemory, init=False)
    _observer: FormatObserver = field(init=False)
    _frames: int = field(default=0, init=False)
    _fps: float | None = field(default=None, init=False)
    _window: tuple[float, int] | None = field(default=None, init=False)
    """When the frames are counted from that come, and how many there were before."""
    _arrival_fps: float = field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self._observer = FormatObserver(self._memory)

    @property
    def has_video(self) -> bool:
        """Whether a frame of video has come."""
        return self._frames > 0

    def begin(self) -> Sequence[Size]:
        """A child starts: of which sizes its pictures may be; empty where that is not known."""
        self._running_sizes = self._sizes
        return self._sizes

    def note(self, event: MediaEvent, now: float) -> bool:
        """Whether a child that runs may go on; `now` in seconds on any clock."""
        if isinstance(event, StreamMetadata):
            self._memory.remember(event)
            return self._recount()
        if not isinstance(event, MediaPacket) or event.kind is not MediaKind.VIDEO or not is_of_main_track(event):
            return True
        is_header = self._memory.remember(event)
        self._observer.note(event)
        if not is_header:
            self._frames += 1
            self._note_arrival(now)
        return self._recount() if is_header or self._frames % FRAMES_SEEN == 1 else True

    def _note_arrival(self, now: float) -> None:
        if self._window is None:
            self._window = now, self._frames
        began, before = self._window
        if now - began >= ARRIVAL_SECONDS:
            self._arrival_fps = (self._frames - before) / (now - began)
            self._window = now, self._frames

    def _recount(self) -> bool:
        source = self._observer.format().video
        if source is None:
            return True
        self.source = source.width, source.height
        self._sizes = self.sizes(self.source)
        fps = self.asked_fps or self._fps_of(source)
        return self.encoding.change(_rate(self._sizes, fps), _rate(self._running_sizes or self._sizes, fps))

    def _fps_of(self, source: VideoFormat) -> float:
        """What was seen counts as soon as there is enough of it, what comes faster than it says counts as it comes."""
        if self._fps is None or self._observer.is_known:
            seen = source.fps
            if self._arrival_fps > ARRIVAL_TOLERANCE * seen:
                seen = self._arrival_fps
            if self._fps is None or abs(seen - self._fps) > FPS_TOLERANCE * self._fps:
                self._fps = seen
        return self._fps or USUAL_FPS


def _rate(sizes: Sequence[Size], fps: float) -> int:
    return round(sum(width * height for width, height in sizes) * fps)
