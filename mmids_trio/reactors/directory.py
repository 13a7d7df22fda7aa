"""The reactors as steps see them. Apart because steps are known before the workflows that reactors start."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from attrs import define, field

from mmids_trio.definitions import ReactorDefinition
from mmids_trio.errors import MmidsError
from mmids_trio.reactors.reactor import Reactor
from mmids_trio.reactors.registry import Reactors
from mmids_trio.reactors.replacement import ReplacedReactors


@define(eq=False)
class ReactorDirectory:
    """Names from the configuration, and the reactors themselves once they are there."""

    _names: Sequence[str]
    _reactors: Reactors | None = field(default=None, init=False)
    _supposed: Sequence[str] | None = field(default=None, init=False)

    def names(self) -> Sequence[str]:
        """Those that are defined, in the order of their definitions."""
        if self._supposed is not None:
            return self._supposed
        return self._names if self._reactors is None else self._reactors.names()

    def get(self, name: str) -> Reactor | None:
        """The one of that name, `None` while there is none."""
        return None if self._reactors is None else self._reactors.get(name)

    def fill(self, reactors: Reactors) -> None:
        """The reactors are made."""
        self._reactors = reactors

    @property
    def definitions(self) -> Sequence[ReactorDefinition]:
        """See `workflow.manager.Reactors`."""
        return () if self._reactors is None else self._reactors.definitions

    # For sets of workflows that bring reactors; see `workflow.manager.Reactors`.

    @contextmanager
    def as_if(self, names: Sequence[str]) -> Iterator[None]:
        """Show these `names` as long as the block runs, which must not await."""
        self._supposed = names
        try:
            yield
        finally:
            self._supposed = None

    def replacement(self, definitions: Sequence[ReactorDefinition]) -> ReplacedReactors:
        """What puts `definitions` in place of those that there are. Raises `ConfigurationError`."""
        if self._reactors is None:
            raise MmidsError("the reactors do not run yet")
        return ReplacedReactors.of(self._reactors, definitions)
