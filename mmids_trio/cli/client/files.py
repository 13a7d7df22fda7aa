"""Files and directories that a command names, read, and joined to the one text that is sent.

Texts are joined as they stand, so that what a server says of a line and a column is as true of the file;
`MergedFiles` knows the way back from the lines of the text to those of the files.
"""

import os
import re
import sys
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from attrs import frozen

from mmids_trio.cli.client.failures import ClientError, Unusable
from mmids_trio.config.encoding import decode
from mmids_trio.config.parser import Document, parse
from mmids_trio.config.scanner import scan
from mmids_trio.definitions import ReactorDefinition, WorkflowDefinition
from mmids_trio.errors import ConfigurationError, Problem

_REQUEST_PLACE = re.compile(r"^<request>:(\d+):", re.MULTILINE)
"""How the server begins what it says of a line."""


@frozen
class SourceFile:
    """One file: what messages call it, and what it holds."""

    file: str
    text: str


@frozen
class MergedFiles:
    """What all files define together. `notes` say what of them is not sent, a sentence each."""

    text: str
    workflows: tuple[WorkflowDefinition, ...]
    reactors: tuple[ReactorDefinition, ...]
    notes: tuple[str, ...]
    _files: tuple[str, ...]
    _first_lines: tuple[int, ...]

    def localised(self, message: str) -> str:
        """The server's message, with files and their lines in place of the request's."""
        localised = _REQUEST_PLACE.sub(self._place, message)
        return message if localised == message else f"the server refuses these files; nothing was changed\n{localised}"

    def _place(self, match: re.Match[str]) -> str:
        number = int(match[1])
        index = bisect_right(self._first_lines, number) - 1
        if index < 0:
            return match[0]
        return f"{self._files[index]}:{number - self._first_lines[index] + 1}:"


def merge(sources: Sequence[SourceFile]) -> MergedFiles:
    """Join what files define. Raises `Unusable` with every problem of any of them, in their order."""
    documents = [parse(source.text, source.file) for source in sources]
    problems = [str(problem) for document in documents for problem in document.problems]
    problems += [str(problem) for problem in repeated(documents)]
    if problems:
        raise Unusable(problems)
    texts = [_without_settings(source.text) for source in sources]
    first_lines = [1]
    for text in texts:
        first_lines.append(first_lines[-1] + text.count("\n") + 1)
    return MergedFiles(
        "\n".join([*texts, ""]),
        tuple(workflow for document in documents for workflow in document.workflows),
        tuple(reactor for document in documents for reactor in document.reactors),
        tuple(_notes(sources, texts, documents)),
        tuple(source.file for source in sources),
        tuple(first_lines[:-1]),
    )


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


def _without_settings(text: str) -> str:
    """The text with the lines of settings blank. It has been parsed without a problem, so they have an end."""
    lines = text.split("\n")
    is_inside = False
    for line in chain.from_iterable(scan(text)):
        is_inside = is_inside or (line.opens > 0 and line.tokens[0].text.lower() == "settings")
        if is_inside:
            lines[line.number - 1] = ""
            is_inside = not line.closes
    return "\n".join(lines)


def _notes(sources: Sequence[SourceFile], texts: Sequence[str], documents: Sequence[Document]) -> Iterator[str]:
    for source, text in zip(sources, texts, strict=True):
        if text != source.text:
            yield f"{source.file}: settings are not sent; they belong in the server's own file, which `reload` reads"
    for document in documents:
        yield from (str(warning) for warning in document.warnings)


SUFFIX = ".mmids"
"""Of the files of a directory that are read; others may lie beside them."""

STANDARD_INPUT = "-"

MAX_TEXT_BYTES = 16 * 1024 * 1024
"""All files together: what one request may bring."""


def read_all(paths: Sequence[str]) -> MergedFiles:
    """What files, directories and standard input (`-`) define. Raises `ClientError`."""
    sources, problems = read_sources(paths)
    if problems:
        raise Unusable([str(problem) for problem in problems])
    return merge(sources)


def read_sources(paths: Sequence[str]) -> tuple[list[SourceFile], list[Problem]]:
    """The texts of all files, and what is wrong with those that are none. Raises `ClientError`."""
    sources, size = [], 0
    problems: list[Problem] = []
    for file in dict.fromkeys(file for path in paths for file in _files(path)):
        data = _read(file, MAX_TEXT_BYTES - size)
        size += len(data)
        name = "<stdin>" if file == STANDARD_INPUT else file
        try:
            sources.append(SourceFile(name, decode(data, name)))
        except ConfigurationError as error:
            problems += error.problems
    return sources, problems


def _files(path: str) -> Iterator[str]:
    """The file itself, or those of a directory in the order of their names. Two ways to one file are one."""
    if path == STANDARD_INPUT:
        yield path
    elif os.path.isdir(path):
        found = sorted(str(file) for file in Path(path).glob(f"*{SUFFIX}") if not file.name.startswith("."))
        if not found:
            raise ClientError(f"there is no *{SUFFIX} file in the directory {path}; nothing was sent")
        yield from found
    else:
        yield str(Path(path))


def _read(file: str, limit: int) -> bytes:
    try:
        if file == STANDARD_INPUT:
            data = sys.stdin.buffer.read(limit + 1)
        else:
            with open(file, "rb") as opened:
                data = opened.read(limit + 1)
    except OSError as error:
        raise ClientError(f"cannot read {file}: {error.strerror}; nothing was sent") from error
    if len(data) > limit:
        raise ClientError(f"the files are larger than {MAX_TEXT_BYTES // 1024**2} MiB together; nothing was sent")
    return data
