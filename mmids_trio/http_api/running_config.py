"""What runs, as a configuration file: canonical text that can be applied again, and its entity tag.

Settings are left out: some are secret, and none can be changed that way.  So are the workflows of reactors, which come
and go with their streams.
"""

from attrs import define, evolve

from mmids_trio.config.writer import write_reactor
from mmids_trio.definitions import ReactorDefinition
from mmids_trio.http_api.control import Reactors, Sets
from mmids_trio.http_api.definition_tags import DefinitionTags, text_tag

HEADER = "# What runs, without settings and without the workflows of reactors.\n"


@define
class RunningConfig:
    """Everything that `PUT /config` can change."""

    _sets: Sets
    _tags: DefinitionTags
    _reactors: Reactors | None

    def reactors(self) -> tuple[ReactorDefinition, ...]:
        """The reactors that there are."""
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
