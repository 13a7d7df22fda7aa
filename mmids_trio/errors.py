"""The exceptions of the whole package, one small family per boundary.

They live in the lowest layer so that every layer can raise and catch them by name.  Each says what
was expected, what came, and what is available; nothing in a message is secret.
"""

from collections.abc import Iterator, Sequence

from attrs import frozen

from mmids_trio.rejections import RejectReason

SHOWN_WIDTH = 120
"""Characters that a message shows of a source line: a wide terminal's width, and a bound on what a report repeats."""


class MmidsError(Exception):
    """Base of every error that this package raises on purpose; `str()` is fit for an operator."""


@frozen
class Place:
    """Where something stands in a text: 1-based `line` and `column`, and the whole `source` line."""

    file: str
    line: int
    column: int
    source: str

    @property
    def position(self) -> tuple[str, int, int]:
        """What places are sorted by, also those of several texts."""
        return self.file, self.line, self.column

    def pointer(self) -> str:
        """The source line around the column, with a caret under it (tabs kept, so that the caret lines up).

        `…` stands for what is left out of a line of more than `SHOWN_WIDTH` characters.
        """
        caret = self.column - 1
        start = max(0, min(caret - SHOWN_WIDTH // 2, len(self.source) - SHOWN_WIDTH))
        end = start + SHOWN_WIDTH
        before = ("…" if start else "") + printable(self.source[start:caret], kept="\t")
        after = printable(self.source[caret:end], kept="\t") + ("…" if end < len(self.source) else "")
        margin = "".join("\t" if character == "\t" else " " for character in before)
        return f"    {before}{after}\n    {margin}^"


@frozen
class Problem:
    """One thing wrong with a configuration, and where."""

    place: Place
    message: str

    @property
    def summary(self) -> str:
        """Place and message in one line, for logs: what else stands in the source line may be a stream key."""
        return f"{self.place.file}:{self.place.line}:{self.place.column}: {self.message}"

    @property
    def hint(self) -> str | None:
        """What of the message says how to go on: what stands behind the first semicolon."""
        return self.message.partition("; ")[2] or None

    def data(self) -> dict[str, str | int | None]:
        """As programs read it, of every command and of the HTTP API."""
        place = self.place
        return {
            "file": place.file,
            "line": place.line,
            "column": place.column,
            "message": self.message,
            "hint": self.hint,
        }

    def __str__(self) -> str:
        return f"{self.summary}\n{self.place.pointer()}"


class ConfigurationError(MmidsError):
    """A configuration that cannot be used; carries every problem that was found, in order of place."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.place.position))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class StepError(MmidsError):
    """A step that cannot start or go on; the message becomes the step's `Error: <why>`."""


class PortTaken(StepError):
    """Somebody else has the port that a step needs, and may give it up: worth another try."""


class TooManyQuestions(MmidsError):
    """A client has asked about too many streams that have no answer yet."""


class NoSuchStep(MmidsError):
    """There is no workflow of that name, or no step with that id carries media in it."""


class CannotSwitch(MmidsError):
    """A step has no sources to choose from, or cannot send the wanted one now; the message says why."""


class RegistrationConflict(StepError):
    """What a step wants to register is taken; the message names the workflow that has it."""


class ProtocolError(MmidsError):
    """A peer broke its protocol or a limit; its connection is closed, nothing else is affected.

    `guard`: what it is counted as.
    """

    def __init__(self, message: str, guard: RejectReason = RejectReason.PROTOCOL) -> None:
        super().__init__(message)
        self.guard = guard


def printable(text: str, kept: str = "") -> str:
    """`text` with every character escaped that does not print, or that a terminal would obey; but for those `kept`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in kept else c.encode("unicode_escape").decode() for c in text)


MAX_NAME_SHOWN = 100
"""Characters of a client's application or key in answers and log lines; a command may hold 64 kB of them."""


def shortened(name: str) -> str:
    """A name that a client made up, as far as it is shown."""
    return name if len(name) <= MAX_NAME_SHOWN else f"{name[:MAX_NAME_SHOWN]}…"


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The plain exceptions of a group, however deep; of any other exception, itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error
