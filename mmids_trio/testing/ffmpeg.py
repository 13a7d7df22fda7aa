"""An ffmpeg that only exists in memory: it tells its version, and its other children do what a script says.

Apart from the children themselves because it knows what a server asks of an ffmpeg, and they know of none.
"""

from collections.abc import Sequence

from attrs import define, field

from mmids_trio.testing.processes import Behaviour, FakeProcess, FakeSpawner

VERSION = "fake-1.0"

TELLS_VERSION = Behaviour(stdout=[(0.0, f"ffmpeg version {VERSION} in memory\n".encode())], exits_after=0.0)
"""What an ffmpeg that works does with `-version`."""


@define(eq=False)
class FakeFfmpeg:
    """A `Spawner` for `Harness(spawner=...)`. `children` are those that get media, or are to bring some."""

    children: FakeSpawner = field(factory=FakeSpawner)
    questions: FakeSpawner = field(factory=lambda: FakeSpawner([TELLS_VERSION]))
    """Those that are asked for the version."""

    async def spawn(self, arguments: Sequence[str], *, stdin: bool, stdout: bool) -> FakeProcess:
        """See `Spawner`."""
        asked = self.questions if list(arguments[1:]) == ["-version"] else self.children
        return await asked.spawn(arguments, stdin=stdin, stdout=stdout)

    def check_nothing_is_left(self) -> None:
        """Raise `AssertionError` unless every child has ended, was awaited and its pipes were closed."""
        self.children.check_nothing_is_left()
        self.questions.check_nothing_is_left()
