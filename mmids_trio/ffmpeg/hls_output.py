"""The files of one HLS playlist: children write segments, and here the playlist over all of them is written.

One child writes at a time.  Writing and deleting are short and happen where they are decided; a playlist takes the
place of the one before it in one step, so that nobody reads half of it.
"""

import os
from collections.abc import Callable, Collection, Sequence

import structlog
from attrs import define, field

from mmids_trio.errors import StepError
from mmids_trio.ffmpeg.arguments import HlsChild, hls_arguments, hls_playlist_path, needs_fmp4
from mmids_trio.ffmpeg.file_names import file_stem, segment_prefix
from mmids_trio.ffmpeg.hls_playlist import ChildPlaylist, HlsPlaylist, read_playlist
from mmids_trio.ffmpeg.parameters import HlsParameters

log = structlog.get_logger()

MAX_PLAYLIST_BYTES = 64 * 1024 * 1024
"""Of one that is read to go on with; a month of segments of two seconds."""


@define(eq=False)
class HlsOutput:
    """What is written for one stream. Call `begin` for each child, `receive` with what it says, and `end` at last."""

    parameters: HlsParameters
    stream_name: str
    make_directory: Callable[[str], None]
    """Raises `StepError`."""
    _playlist: HlsPlaylist | None = field(default=None, init=False)
    _child: ChildPlaylist | None = field(default=None, init=False)
    _is_fmp4: bool = field(default=False, init=False)
    _is_fresh: bool = field(default=False, init=False)
    """Whether the child's next segment is its first."""

    @property
    def path(self) -> str:
        """The playlist."""
        return hls_playlist_path(self.parameters, self.stream_name)

    @property
    def last_segment(self) -> str | None:
        """The file that came into it last, if there is one."""
        segments = self._playlist.segments if self._playlist is not None else None
        return segments[-1].name if segments else None

    @property
    def _stem(self) -> str:
        return file_stem(self.parameters.stream_name or self.stream_name)

    def begin(self, codecs: Collection[str]) -> Sequence[str]:
        """Another child starts, for a stream of these codecs; its arguments. Raises `StepError`."""
        self.make_directory(self.parameters.path)
        if self._playlist is None:
            self._playlist = self._read()
        if self._playlist.segments and not os.path.exists(self._place(self._playlist.segments[-1].name)):
            self._playlist.forget()  # somebody has removed them
        # Players that have been told of init segments cannot be told that there are none any more.
        self._is_fmp4 |= needs_fmp4(codecs) or any(segment.init for segment in self._playlist.segments)
        number = self._playlist.next_number
        init = f"{segment_prefix(self._stem)}{number}.mp4" if self._is_fmp4 else None
        self._child, self._is_fresh = ChildPlaylist(self._stem, init, number), True
        return hls_arguments(self.parameters, self.stream_name, HlsChild(number, init, "hvc1" in codecs))

    def receive(self, data: bytes) -> None:
        """What the child has written to its output. Raises `StepError` where the playlist cannot be written."""
        assert self._child is not None
        assert self._playlist is not None
        if not (segments := self._child.receive(data)):
            return
        unneeded: list[str] = []
        for segment in segments:
            unneeded += self._playlist.add(segment, is_discontinuity=self._is_fresh)
            self._is_fresh = False
        self._write(self._playlist)
        if self.parameters.deletes:
            for name in unneeded:
                self._delete(name)

    def end(self) -> None:
        """Nothing more comes: players may stop asking."""
        if self._playlist is None or self._playlist.is_ended or not self._playlist.segments:
            return
        self._playlist.is_ended = True
        try:
            self._write(self._playlist)
        except StepError as error:
            log.warning("the playlist has no end", path=self.path, reason=str(error))

    # Files.

    def _place(self, name: str) -> str:
        return os.path.join(self.parameters.path, name)

    def _read(self) -> HlsPlaylist:
        count = self.parameters.count or 0
        try:
            with open(self.path, encoding="utf-8", errors="replace") as file:
                return read_playlist(file.read(MAX_PLAYLIST_BYTES), self._stem, count)
        except OSError:
            return HlsPlaylist(count)

    def _write(self, playlist: HlsPlaylist) -> None:
        try:
            try:
                self._replace(playlist.text())
            except FileNotFoundError:  # somebody has removed the directory, and the segments with it
                self.make_directory(self.parameters.path)
                playlist.forget()
                self._replace(playlist.text())
        except OSError as error:
            raise StepError(f"the playlist '{self.path}' cannot be written: {error.strerror}") from error

    def _replace(self, text: str) -> None:
        with open(f"{self.path}.tmp", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(f"{self.path}.tmp", self.path)

    def _delete(self, name: str) -> None:
        try:
            os.unlink(self._place(name))
        except FileNotFoundError:
            pass
        except OSError as error:
            log.warning("an old segment cannot be deleted", name=name, reason=error.strerror)
