"""The state as text: the ordinary configuration language, with what it cannot say in comments of a fixed form.

The last line has a checksum, so that a text that was cut off or damaged is never taken for a shorter state; whoever
edits the file by hand says so there.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from hashlib import blake2b
from pathlib import PurePath

from attrs import define, evolve, field, frozen

from mmids_trio.config.encoding import decode
from mmids_trio.config.names import set_problem
from mmids_trio.config.parser import DefinitionSet, parse_set
from mmids_trio.config.references import VariableNames, from_values
from mmids_trio.config.suggestions import shown
from mmids_trio.config.writer import write_reactor, write_workflow
from mmids_trio.definitions import DIGEST_BYTES, ReactorDefinition, WorkflowDefinition, variables_of
from mmids_trio.errors import ConfigurationError, Place, Problem
from mmids_trio.state.record import ReactorsEntry, State, StateEntry

SECRETS_SUFFIX = ".secrets"
"""Of the name of the file with the values of variables, behind that of the state file."""

MARK = "# mmids-state"
"""What every line begins with that says something the language does not."""

VERSION = "1"
EDITED = "edited"
"""Stands for the checksum in a file that was edited by hand."""

HEADER = f"""\
# What was changed over the HTTP API, in the language of the configuration file. The server writes this file.
# Edit it only while the server is stopped, and write "{EDITED}" for the checksum in the last line then.
{MARK} version {VERSION}
"""

NO_VALUES: Mapping[str, str] = {}

_DIGEST = re.compile(rf"[0-9a-f]{{{2 * DIGEST_BYTES}}}")


@frozen
class StateText:
    """A state as text. `values` are those of its variables, which stand in it as `${NAME}`."""

    data: bytes
    values: Mapping[str, str]

    @property
    def checksum(self) -> str:
        """What tells it from other texts."""
        return checksum_of(self.data)


def checksum_of(data: bytes) -> str:
    """The checksum that stands at the end of a text, if one does."""
    return data[data.rfind(MARK.encode()) :].decode("ascii", "replace").removeprefix(f"{MARK} end").strip()


def write(state: State) -> StateText:
    """The text, in UTF-8."""
    names = VariableNames()
    marks = "".join(_mark(entry) for entry in state if entry.base is not None)
    marks += "".join(f"{MARK} set {entry.name} {entry.set}\n" for entry in state if entry.set is not None)
    reactors = ""
    if state.reactors is not None:
        marks += f"{MARK} reactors {state.reactors.base}\n"
        named = [reactor for reactor in state.reactors.definitions if reactor.set is not None]
        marks += "".join(f"{MARK} reactor-set {reactor.name} {reactor.set}\n" for reactor in named)
        reactors = "".join(write_reactor(reactor, names.show) for reactor in state.reactors.definitions)
    body = (HEADER + marks + "\n" + reactors + "".join(_text(entry, names) for entry in state)).encode()
    return StateText(body + f"{MARK} end {_checksum(body)}\n".encode(), names.values)


def _text(entry: StateEntry, names: VariableNames) -> str:
    if entry.definition is None or not any(variables_of([entry.definition])):
        return entry.text
    return write_workflow(entry.definition, names.show)


def _mark(entry: StateEntry) -> str:
    return f"{MARK} {'deleted' if entry.definition is None else 'changed'} {entry.name} {entry.base}\n"


def _checksum(body: bytes) -> str:
    return blake2b(body, digest_size=DIGEST_BYTES).hexdigest()


def read(data: bytes, file: str, values: Mapping[str, str] = NO_VALUES) -> State:
    """The state that `data` holds, which messages call `file`. `values` are those of its variables.

    Raises `ConfigurationError`, with the places, for anything but a whole text of this version: half a state is none.
    """
    text = decode(data, file)
    marks = _Marks(file)
    marks.read(text)
    marks.check(data)
    nodes = _parse(text, file, values)
    workflows = {workflow.name: workflow for workflow in nodes.workflows}
    marks.check_names(workflows)
    marks.check_sets(workflows, nodes.reactors)
    entries = {entry.name: entry for entry in _entries(marks, workflows)}
    reactors = tuple(evolve(reactor, set=marks.reactor_sets.get(reactor.name)) for reactor in nodes.reactors)
    return State(entries, None if marks.reactors is None else ReactorsEntry(reactors, marks.reactors))


def parsed_state(data: bytes | None, path: PurePath, load_values: Callable[[str], Mapping[str, str]]) -> State:
    """The state in `data`; `None`: there is no file yet. Raises `ConfigurationError`.

    `load_values` has the values of its variables, by its checksum.
    """
    return State() if data is None else read(data, str(path), load_values(checksum_of(data)))


def _parse(text: str, file: str, values: Mapping[str, str]) -> DefinitionSet:
    """All nodes at once: nothing else runs yet. What 0.1 has written counts as it was meant."""
    references = from_values(values, f"they are kept in {file}{SECRETS_SUFFIX}")
    parsing = parse_set(text, file, hash_in_words=True, references=references)
    while True:
        try:
            next(parsing)
        except StopIteration as end:
            nodes: DefinitionSet = end.value
            return nodes


def _entries(marks: "_Marks", workflows: Mapping[str, WorkflowDefinition]) -> Iterator[StateEntry]:
    for name, base in marks.deleted.items():
        yield StateEntry(name, None, base)
    for name, workflow in workflows.items():
        yield StateEntry(name, workflow, marks.bases.get(name), marks.sets.get(name))


@define
class _Marks:
    """The marked lines of one text."""

    file: str
    bases: dict[str, str] = field(factory=dict)
    deleted: dict[str, str] = field(factory=dict)
    places: dict[str, Place] = field(factory=dict)
    sets: dict[str, str] = field(factory=dict)
    reactor_sets: dict[str, str] = field(factory=dict)
    set_places: dict[tuple[str, str], Place] = field(factory=dict)
    reactors: str | None = None
    version: str | None = None
    checksum: str | None = None
    last: Place = field(init=False)
    problems: list[Problem] = field(factory=list)

    def read(self, text: str) -> None:
        """Take in every marked line."""
        self.last = Place(self.file, 1, 1, "")
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                # Other lines are not shown: in a damaged file any of them may hold a key.
                self.last = Place(self.file, number, 1, line.rstrip("\r") if line.startswith(MARK) else "")
                self._read_line(line)

    def _read_line(self, line: str) -> None:
        if self.checksum is not None:
            self._complain(f"expected nothing behind the line '{MARK} end'")
            self.checksum = None
        if not line.startswith(MARK):
            return
        match line.removeprefix(MARK).split():
            case ["version", version]:
                self.version = version
            case ["changed", name, base] if _DIGEST.fullmatch(base):
                self._take(self.bases, name, base)
            case ["deleted", name, base] if _DIGEST.fullmatch(base):
                self._take(self.deleted, name, base)
            case ["set", name, of_set]:
                self._take_set("workflow", self.sets, name, of_set)
            case ["reactor-set", name, of_set]:
                self._take_set("reactor", self.reactor_sets, name, of_set)
            case ["reactors", base] if _DIGEST.fullmatch(base):
                self.reactors = base
            case ["end", checksum]:
                self.checksum = checksum
            case _:
                known = "version, changed, deleted, set, reactors, reactor-set or end"
                self._complain(f"expected {known} behind '{MARK}', with arguments")

    def _take(self, marks: dict[str, str], name: str, base: str) -> None:
        if name in self.places:
            self._complain(f"workflow {shown(name)} is marked already, in line {self.places[name].line}")
        self.places[name] = self.last
        marks[name] = base

    def _take_set(self, kind: str, sets: dict[str, str], name: str, of_set: str) -> None:
        if problem := set_problem(of_set):
            self._complain(problem)
        if name in sets:
            self._complain(f"the set of {kind} {shown(name)} is given already")
        self.set_places[kind, name] = self.last
        sets[name] = of_set

    def _complain(self, message: str) -> None:
        self.problems.append(Problem(self.last, message))

    def check(self, data: bytes) -> None:
        """Refuse a text that is not whole."""
        if self.version is None:
            self._complain(f"expected a line '{MARK} version {VERSION}': this is no state file, or it is damaged")
        elif self.version != VERSION:
            self._complain(f"expected version {VERSION} of the state file, found {shown(self.version)}")
        elif self.checksum is None and not self.problems:
            self._complain(f"expected a last line '{MARK} end CHECKSUM': the file was cut off")
        elif self.checksum not in (None, EDITED) and self.checksum != _checksum(data[: data.rfind(MARK.encode())]):
            self._complain(
                f"the checksum does not fit: the file was edited or is damaged; write '{MARK} end {EDITED}' here "
                "to use it as it is"
            )
        self._raise()

    def check_names(self, workflows: Mapping[str, WorkflowDefinition]) -> None:
        """Refuse marks that fit no workflow, or one that they should not."""
        for name, place in self.places.items():
            if name in self.bases and name not in workflows:
                self.problems.append(Problem(place, f"there is no workflow {shown(name)} in this file"))
            if name in self.deleted and name in workflows:
                self.problems.append(Problem(place, f"workflow {shown(name)} is deleted here, and defined below"))
        self._raise()

    def check_sets(self, workflows: Collection[str], reactors: Collection[ReactorDefinition]) -> None:
        """Refuse sets of what is not there."""
        known = {"workflow": set(workflows), "reactor": {reactor.name for reactor in reactors}}
        for (kind, name), place in self.set_places.items():
            if name not in known[kind]:
                self.problems.append(Problem(place, f"there is no {kind} {shown(name)} in this file"))
        self._raise()

    def _raise(self) -> None:
        if self.problems:
            raise ConfigurationError(self.problems)
