"""What can go wrong for a client, as exceptions of which `str()` is what an operator reads."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmids_trio.errors import MmidsError, Problem, printable

PROBLEM = ("file", "line", "column", "message", "hint")

ProblemData = Mapping[str, str | int | None]
"""A problem in JSON, with the fields of `PROBLEM`."""


def as_problem(document: Mapping[str, Any]) -> ProblemData:
    """A problem in an answer of the API. Raises `TypeError` or `AttributeError` for anything else."""
    return {name: document.get(name) for name in PROBLEM}


def without_place(message: str) -> ProblemData:
    """One that is about no text."""
    return {**dict.fromkeys(PROBLEM), "message": message}


def summary(problem: ProblemData) -> str:
    """Place and message in one line, as `errors.Problem.summary`."""
    message = printable(str(problem["message"]))
    place = [printable(str(part)) for part in (problem["file"], problem["line"], problem["column"]) if part is not None]
    return ": ".join([":".join(place), message] if place else [message])


class ClientError(MmidsError):
    """A command that cannot do what it was asked for.

    `status` is that of the server's answer, `None` without one; `problems` is all that is wrong with a text, as
    programs read it (`errors.Problem.data`); `exit_status` is the command's.
    """

    def __init__(
        self, message: str, *, status: int | None = None, problems: Sequence[ProblemData] = (), exit_status: int = 1
    ) -> None:
        self.status = status
        self.problems = tuple(problems)
        self.exit_status = exit_status
        super().__init__(message)


class Unusable(ClientError):
    """Files that are no good; nothing was sent."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        count = "1 error" if len(problems) == 1 else f"{len(problems)} errors"
        message = "\n".join([f"{count}, nothing was sent", *map(str, problems)])
        super().__init__(message, problems=[problem.data() for problem in problems])
