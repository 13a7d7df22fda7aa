"""Which step writes which output: two must not write one file, and a successor waits for its predecessor's end."""

import os
from collections.abc import Callable

import trio
from attrs import define, field

from mmids_trio.errors import StepError


@define(eq=False)
class PathClaim:
    """The right to write one file of a directory, or any (`name` is `None`), from the end of claims before it on."""

    directory: str
    name: str | None
    workflow: str
    step_id: str
    before: tuple["PathClaim", ...] = ()
    """Those that were to write there and had not ended when this claim was made; forgotten when they have."""
    released: trio.Event = field(factory=trio.Event, init=False)

    def overlaps(self, directory: str, name: str | None) -> bool:
        """Whether both might write one file."""
        return self.directory == directory and (self.name == name or self.name is None or name is None)

    async def wait_turn(self) -> None:
        """Wait until all that were to write there before have ended."""
        for claim in self.before:
            await claim.released.wait()
        self.before = ()

    def __str__(self) -> str:
        return f"{self.directory}/{self.name or '*'}"


@define(eq=False)
class OutputPaths:
    """All claims of a server."""

    _claims: list[PathClaim] = field(factory=list, init=False)

    def claim(
        self,
        directory: str,
        name: str | None,
        workflow: str,
        step_id: str,
        is_leaving: Callable[[str, str], bool] = lambda _workflow, _step_id: False,
    ) -> PathClaim:
        """Claim `name` in `directory` (`None`: all that is there), after steps that are leaving.

        Raises `StepError` where any other step might write there.
        """
        before = tuple(claim for claim in self._claims if claim.overlaps(directory, name))
        for other in before:
            if not is_leaving(other.workflow, other.step_id):
                owner = f"workflow '{other.workflow}' (step id {other.step_id})"
                raise StepError(f"'{other}' is written already, by {owner}")
        claim = PathClaim(directory, name, workflow, step_id, before)
        self._claims.append(claim)
        return claim

    def release(self, claim: PathClaim) -> None:
        """Give a claim up, whether its turn has come or not."""
        self._claims.remove(claim)
        claim.before = ()
        claim.released.set()


def make_directory(path: str) -> None:
    """Have a directory that can be written. Raises `StepError`."""
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise StepError(f"the directory '{path}' cannot be made: {error.strerror}") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise StepError(f"the directory '{path}' cannot be written")
