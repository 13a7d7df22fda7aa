"""An ffmpeg that only exists in memory: it tells its version, and its other children do what a script says.

Apart from the children themselves because it knows what a server asks of an ffmpeg, and they know of none.
"""

import signal
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Self

from attrs import define, evolve, field, frozen

from mmids_trio.ffmpeg.media_pipe import ChildMedia
from mmids_trio.media.events import MediaPacket, StreamId
from mmids_trio.media.flv import flv_header
from mmids_trio.rtmp.flv_tags import metadata_tag, packet_tag
from mmids_trio.testing.processes import Behaviour, FakeProcess, FakeSpawner

VERSION = "fake-1.0"

TELLS_VERSION = Behaviour(stdout=[(0.0, f"ffmpeg version {VERSION} in memory\n".encode())], exits_after=0.0)
"""What an ffmpeg that works does with `-version`."""


@frozen
class Script:
    """What one child does, told step by step; each step gives a new script. Times in seconds from its start.

    `Script().logs("Opening ...", at=0.5).brings(packets, at=1).exits(1, at=60)`.  Without a word, a child reads all
    that it is fed, ends when that ends, and obeys signals at once.
    """

    behaviour: Behaviour = field(factory=Behaviour)

    def logs(self, line: str, *, at: float = 0.0) -> Self:
        """A line on its standard error."""
        return self._with(stderr=_in_order(self.behaviour.stderr, [(at, f"{line}\n".encode())]))

    def writes(self, data: bytes, *, at: float = 0.0) -> Self:
        """Bytes on its standard output."""
        return self._with(stdout=_in_order(self.behaviour.stdout, [(at, data)]))

    def brings(self, packets: Sequence[MediaPacket], *, at: float = 0.0) -> Self:
        """Media on its standard output, as FLV: from `at` on, each packet in its time."""
        base = packets[0].timestamp if packets else 0
        pieces = [(at, flv_header(audio=True, video=True) + metadata_tag({}))]
        for packet in packets:
            after = (packet.timestamp - base) % 2**32
            pieces.append((at + after / 1000, packet_tag(packet, after)))
        return self._with(stdout=_in_order(self.behaviour.stdout, pieces))

    def echoes(self) -> Self:
        """All that it reads comes out at its standard output, as with a transcoder that changes nothing."""
        return self._with(echoes=True)

    def stalls(self, *, at: float) -> Self:
        """It reads and writes nothing any more, and lives on."""
        return self._with(stalls_after=at)

    def exits(self, status: int = 0, *, at: float) -> Self:
        """It ends by itself."""
        return self._with(exits_after=at, exit_status=status)

    def stops_slowly(self, seconds: float) -> Self:
        """It takes so long to end after a signal, and after the end of its input."""
        slowly = {signal.SIGINT: seconds, signal.SIGTERM: seconds}
        return self._with(signals=slowly, exits_after_end_of_input=seconds)

    def ignores(self, *signals: signal.Signals) -> Self:
        """Signals without an effect: those named, or all but SIGKILL, and the end of its input then too."""
        if not signals:
            return self._with(signals={}, reads_stdin=False)
        kept = {number: after for number, after in self.behaviour.signals.items() if number not in signals}
        return self._with(signals=kept)

    def survives_sigkill(self) -> Self:
        """As a process does that hangs in the kernel."""
        return self._with(survives_sigkill=True)

    def cannot_start(self, errno: int) -> Self:
        """Starting it fails with this `errno`."""
        return self._with(cannot_start=errno)

    def _with(self, **changes: object) -> Self:
        return type(self)(evolve(self.behaviour, **changes))  # type: ignore[arg-type]  # fields of it, above


def _in_order(
    one: Iterable[tuple[float, bytes]], other: Iterable[tuple[float, bytes]]
) -> Sequence[tuple[float, bytes]]:
    return sorted([*one, *other], key=itemgetter(0))


@define(eq=False)
class FakeFfmpeg:
    """A `Spawner` for `Harness(spawner=...)`. `children` are those that get media, or are to bring some.

    `script` says what they do: one script for all, or one after the other, the last for all that follow.
    """

    children: FakeSpawner = field(factory=FakeSpawner)
    questions: FakeSpawner = field(factory=lambda: FakeSpawner([TELLS_VERSION]))
    """Those that are asked for the version."""
    script: Script | Sequence[Script] = field(default=(), kw_only=True)

    def __attrs_post_init__(self) -> None:
        scripts = [self.script] if isinstance(self.script, Script) else self.script
        if scripts:
            self.children = FakeSpawner([script.behaviour for script in scripts])

    async def spawn(self, arguments: Sequence[str], *, stdin: bool, stdout: bool, outputs: int = 0) -> FakeProcess:
        """See `Spawner`."""
        asked = self.questions if list(arguments[1:]) == ["-version"] else self.children
        return await asked.spawn(arguments, stdin=stdin, stdout=stdout, outputs=outputs)

    @property
    def processes(self) -> list[FakeProcess]:
        """All `children` so far, oldest first."""
        return self.children.processes

    @property
    def running(self) -> list[FakeProcess]:
        """Those that have not ended."""
        return self.children.running

    def check_nothing_is_left(self) -> None:
        """Raise `AssertionError` unless every child has ended, was awaited and its pipes were closed."""
        self.children.check_nothing_is_left()
        self.questions.check_nothing_is_left()


def fed_packets(process: FakeProcess) -> list[MediaPacket]:
    """The media that a child has read from its standard input, for a `StreamChecker`; timestamps from 0."""
    assert process.stdin is not None, f"child {process.pid} has no input"
    media = ChildMedia(StreamId("fed"))
    media.begin()
    return [event for event in media.receive(bytes(process.stdin.received)) if isinstance(event, MediaPacket)]
