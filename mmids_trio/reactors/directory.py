"""The reactors as steps see them. Apart because steps are known before the workflows that reactors start."""

from collections.abc import Sequence

from attrs import define, field

from mmids_trio.reactors.reactor import Reactor
from mmids_trio.reactors.registry import Reactors


@define(eq=False)
class ReactorDirectory:
    """Names from the configuration, and the reactors themselves once they are there."""

    _names: Sequence[str]
    _reactors: Reactors | None = field(default=None, init=False)

    def names(self) -> Sequence[str]:
        """Those that the configuration defines, in its order."""
        return self._names

    def get(self, name: str) -> Reactor | None:
        """The one of that name, `None` while there is none."""
        return None if self._reactors is None else self._reactors.get(name)

    def fill(self, reactors: Reactors) -> None:
        """The reactors are made."""
        self._reactors = reactors
