"""What runs, as a configuration file: canonical text that can be applied again, and its entity tag.

Settings are left out: some are secret, and none can be changed that way.  So are the workflows of reactors, which come
and go with their streams.
"""

from attrs import define, evolve, field

from mmids_trio.config.writer import write_reactor
from mmids_trio.definitions import ReactorDefinition
from mmids_trio.http_api.control import Reactors, SetChange, Sets
from mmids_trio.http_api.definition_tags import DefinitionTags, text_tag

HEADER = "# What runs, without settings and without the workflows of reactors.\n"


@define
class RunningConfig:
    """Everything that `PUT /config` can change."""

    _sets: Sets
    _tags: DefinitionTags
    _reactors: Reactors | None
    _pending: tuple[SetChange, tuple[ReactorDefinition, ...]] | None = field(default=None, init=False)
    """The newest change of the reactors that came this way."""

    def accepted(self, change: SetChange, reactors: tuple[ReactorDefinition, ...] | None) -> None:
        """A change was accepted that brings these reactors (`None`: it leaves them alone)."""
        if reactors is not None:
            self._pending = change, reactors

    def reactors(self) -> tuple[ReactorDefinition, ...]:
        """The reactors that are wanted: those of a change that is on its way, else those that there are."""
        if self._pending is not None:
            change, reactors = self._pending
            if change.outcome is None:
                return reactors
            self._pending = None
        return () if self._reactors is None else tuple(self._reactors.definitions)

    def text(self) -> str:
        """The nodes, reactors first, workflows in the order in which they were started."""
        names = [name for name in self._sets.names() if not self._is_of_a_reactor(name)]
        workflows = [text for name in names if (text := self._tags.text(name)) is not None]
        return "\n".join([HEADER, *map(_canonical_reactor, self.reactors()), *workflows])

    def tag(self) -> str:
        """The strong tag of `text`."""
        return text_tag(self.text())

    def _is_of_a_reactor(self, name: str) -> bool:
        owner = self._sets.owner(name)
        return owner is not None and owner.kind == "reactor"


def _canonical_reactor(definition: ReactorDefinition) -> str:
    return write_reactor(evolve(definition, parameters=dict(sorted(definition.parameters.items()))))
