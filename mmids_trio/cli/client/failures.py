"""What can go wrong for a client, as exceptions of which `str()` is what an operator reads."""

from collections.abc import Sequence

from mmids_trio.errors import MmidsError


class ClientError(MmidsError):
    """A command that cannot do what it was asked for.

    `status` is that of the server's answer, `None` without one; `problems` are single findings, where there are
    several; `exit_status` is the command's.
    """

    def __init__(
        self, message: str, *, status: int | None = None, problems: Sequence[str] = (), exit_status: int = 1
    ) -> None:
        self.status = status
        self.problems = tuple(problems)
        self.exit_status = exit_status
        super().__init__(message)


class Unusable(ClientError):
    """Files that are no good; nothing was sent."""

    def __init__(self, problems: Sequence[str]) -> None:
        count = "1 error" if len(problems) == 1 else f"{len(problems)} errors"
        super().__init__("\n".join([f"{count}, nothing was sent", *problems]), problems=problems)
