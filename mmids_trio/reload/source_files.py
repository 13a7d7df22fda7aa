"""The files of a configuration: the one that is named, those that it includes, and what its values take from outside.

Apart from `configuration_file`, which puts together what a server runs, because commands read files in the same way.
What somebody sends over the network never comes here.
"""

import glob
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path

from attrs import define, field, frozen

from mmids_trio.config.encoding import decode
from mmids_trio.config.parser import Document, parse
from mmids_trio.config.reader import INCLUDE, Include
from mmids_trio.config.references import References, not_here
from mmids_trio.config.scanner import scan
from mmids_trio.definitions import ReactorDefinition, Variable, WorkflowDefinition, variables_of
from mmids_trio.errors import ConfigurationError, Problem, printable

MAX_FILES = 1_000
"""Files of one configuration: one for each of as many teams or channels as a server is made for."""

MAX_DEPTH = 8
"""Files on the way from the first to one that is included: more is a mistake."""

MAX_VALUE_BYTES = 65_536
"""Largest file whose content is a value: what a line of a configuration may have."""


@frozen
class SourceFile:
    """One file: what messages call it, and what it holds. `directory`: what its relative paths are relative to."""

    file: str
    text: str
    directory: Path = Path()


@frozen
class ReadFile:
    """A file with what it defines."""

    source: SourceFile
    document: Document


@define(eq=False)
class SourceReader:
    """Reads files with what they include. Without `environment` nothing may come from outside of them.

    `max_bytes` is what all included files may have together.
    """

    environment: Mapping[str, str] | None
    max_bytes: int
    problems: list[Problem] = field(factory=list, init=False)
    """What is wrong with includes."""
    patterns: list[str] = field(factory=list, init=False)
    """Absolute paths, and patterns of such, of everything that was looked for."""
    _seen: set[Path] = field(factory=set, init=False)
    _size: int = field(default=0, init=False)

    def read(self, sources: Sequence[SourceFile]) -> list[ReadFile]:
        """These files, each followed by those that it includes. A file that is included twice counts once."""
        self._seen |= {(source.directory / Path(source.file).name).resolve() for source in sources}
        return [read for source in sources for read in self._read(source, ())]

    def _read(self, source: SourceFile, above: tuple[Path, ...]) -> Iterator[ReadFile]:
        document = parse(source.text, source.file, self._references(source.directory))
        yield ReadFile(source, document)
        here = (*above, (source.directory / Path(source.file).name).resolve())
        for include in document.includes:
            for path in self._find(include, source.directory):
                yield from self._include(include, path, here)

    def _include(self, include: Include, path: str, above: tuple[Path, ...]) -> Iterator[ReadFile]:
        real = Path(path).resolve()
        if real in above:
            way = " includes ".join(each.name for each in (*above[above.index(real) :], real))
            self._complain(include, f"files that include each other: {way}")
        elif len(above) >= MAX_DEPTH:
            self._complain(include, f"files include each other more than {MAX_DEPTH} deep")
        elif real not in self._seen:
            self._seen.add(real)
            try:
                data = self._data(path)
                yield from self._read(SourceFile(path, decode(data, path), Path(path).parent), above)
            except ValueError as error:
                self._complain(include, str(error))
            except ConfigurationError as error:
                self.problems += error.problems

    def _data(self, path: str) -> bytes:
        if len(self._seen) > MAX_FILES:
            raise ValueError(f"more than {MAX_FILES} files")
        data = read_regular(path, self.max_bytes - self._size)
        self._size += len(data)
        return data

    def _find(self, include: Include, directory: Path) -> Sequence[str]:
        """The files that an include names, in the order of their names; relative to the file that includes."""
        pattern = os.path.join(directory, include.pattern)
        self.patterns.append(os.path.abspath(pattern))
        if not glob.has_magic(pattern):
            return [pattern]
        found = matches(pattern)
        if len(found) > MAX_FILES:
            self._complain(include, f"more than {MAX_FILES} files")
            return []
        return found

    def _references(self, directory: Path) -> References:
        environment = self.environment
        if environment is None:
            return not_here("--no-env refuses it")

        def read(name: str) -> str:
            path = os.path.join(directory, name)
            self.patterns.append(os.path.abspath(path))
            return value_of_file(path)

        return References(variable=environment.get, read=read)

    def _complain(self, include: Include, message: str) -> None:
        self.problems.append(Problem(include.place, message))


def matches(pattern: str) -> list[str]:
    """The files of a pattern in the order of their names; somewhat more than `MAX_FILES` at most."""
    found = (path for path in glob.iglob(pattern) if os.path.isfile(path))
    return sorted(islice(found, MAX_FILES + 1))


def value_of_file(path: str) -> str:
    """What a file holds, without the line end behind it. Raises `ValueError`, which shows nothing of it."""
    try:
        return read_regular(path, MAX_VALUE_BYTES).decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError(f"the file '{printable(path)}' is not UTF-8") from None


def read_regular(path: str, limit: int) -> bytes:
    """All of a file, which is none that a reader could wait for. Raises `ValueError`."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError(f"'{printable(path)}' is not a file")
            data = file.read(limit + 1)
    except OSError as error:
        raise ValueError(f"cannot read the file '{printable(path)}': {error.strerror}") from None
    if len(data) > limit:
        raise ValueError(f"the file '{printable(path)}' is too large; there is room for {limit:,} bytes")
    return data


def repeated(documents: Sequence[Document]) -> Iterator[Problem]:
    """Nodes of one name in several files; those within one file the parser has found."""
    firsts: dict[tuple[str, str], WorkflowDefinition | ReactorDefinition] = {}
    for document in documents:
        nodes: tuple[WorkflowDefinition | ReactorDefinition, ...] = (*document.reactors, *document.workflows)
        for node in nodes:
            kind = "workflow" if isinstance(node, WorkflowDefinition) else "reactor"
            first = firsts.setdefault((kind, node.name), node)
            if first.place and node.place and first.place.file != node.place.file:
                where = f"{first.place.file}:{first.place.line}"
                yield Problem(node.place, f"{kind} '{node.name}' is defined twice (first in {where})")


def sendable(read: Sequence[ReadFile], *, with_settings: bool = False) -> list[str]:
    """The texts, which have no problem, with the lines of settings and includes blank: what stays are nodes.

    Lines stay where they are. `with_settings`: only the lines of includes go.
    """
    return [_without(each.source.text, settings=not with_settings) for each in read]


def _without(text: str, *, settings: bool) -> str:
    lines = text.split("\n")
    kind = ""
    """Of the node that is open; all of them have an end."""
    for line in chain.from_iterable(scan(text)):
        head = line.tokens[0].text.lower() if line.tokens else ""
        if line.opens:
            kind = head
        if (kind in ("settings", "webhook", "cluster") and settings) or (not kind and head == INCLUDE):
            lines[line.number - 1] = ""
        if line.closes:
            kind = ""
    return "\n".join(lines)


def variables_in(read: Sequence[ReadFile]) -> Iterator[Variable]:
    """What came from outside into these files."""
    for each in read:
        yield from each.document.secret_settings
        yield from variables_of((*each.document.reactors, *each.document.workflows))


def given_values(read: Sequence[ReadFile]) -> dict[str, str]:
    """What stands for the names in these files, but for defaults, which stand there themselves."""
    return {variable.name: variable.value for variable in variables_in(read) if not variable.is_default}
