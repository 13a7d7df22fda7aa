"""What is remembered of changes over the API, as plain data: one entry for each workflow that differs from the file.

Pure, and apart from the text and the file that hold it, so that the rules of start-up and reload can be stated and
tested without either.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import blake2b

from attrs import evolve, field, frozen

from mmids_trio.config.writer import write_workflow
from mmids_trio.definitions import ReactorDefinition, WorkflowDefinition

DIGEST_BYTES = 16
"""Enough that two definitions never share one by chance, short enough for a line that people read."""


def digest(definition: WorkflowDefinition) -> str:
    """What `definition` says, in hexadecimal digits; neither its name nor the order of its parameters counts.

    Steps must be in canonical spellings, or two spellings of one thing differ.
    """
    steps = [(step.step_type, sorted(step.parameters.items(), key=lambda item: item[0])) for step in definition.steps]
    # `ascii`, not `repr`: what counts as printable differs between versions of Python.
    return blake2b(ascii((definition.routed_by_reactor, steps)).encode(), digest_size=DIGEST_BYTES).hexdigest()


@frozen
class Entry:
    """What the API made of one workflow: `definition`, or `None` where it was deleted.

    `base` is the digest of what the configuration file said then, `None` where it said nothing. A deletion has one.
    """

    name: str
    definition: WorkflowDefinition | None
    base: str | None = None

    @cached_property
    def text(self) -> str:
        """The workflow in the configuration language, `""` for a deletion. Made once: states share their entries."""
        return "" if self.definition is None else write_workflow(self.definition)


def digest_reactors(definitions: Sequence[ReactorDefinition]) -> str:
    """What all of them together say, whatever the order of their parameters."""
    reactors = [
        (reactor.name, reactor.executor, reactor.update_interval, sorted(reactor.parameters.items()))
        for reactor in definitions
    ]
    return blake2b(ascii(reactors).encode(), digest_size=DIGEST_BYTES).hexdigest()


@frozen
class ReactorsEntry:
    """What the API made of the reactors, which change as a whole; `base` is the digest of those of the file then."""

    definitions: tuple[ReactorDefinition, ...]
    base: str


@frozen
class State:
    """Every entry by name, in the order in which they came; `reactors` of `None` are those of the file."""

    entries: Mapping[str, Entry] = field(factory=dict)
    reactors: ReactorsEntry | None = None

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())

    def get(self, name: str) -> Entry | None:
        """The entry of that name."""
        return self.entries.get(name)

    def put(self, name: str, entry: Entry | None) -> "State":
        """The state with this entry in place of what it has of that name; with `None`, without any."""
        if self.entries.get(name) == entry:
            return self
        entries = dict(self.entries)
        if entry is None:
            entries.pop(name, None)
        else:
            entries[name] = entry
        return evolve(self, entries=entries)


def difference(name: str, wanted: WorkflowDefinition | None, in_file: WorkflowDefinition | None) -> Entry | None:
    """The entry that turns what the file says of a workflow into what is wanted; `None` where it says just that."""
    base = None if in_file is None else digest(in_file)
    if (None if wanted is None else digest(wanted)) == base:
        return None
    return Entry(name, wanted, base)
