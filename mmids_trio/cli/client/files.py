"""Files and directories that a command names, read, and joined to the one text that is sent.

Texts are joined as they stand, so that what a server says of a line and a column is as true of the file;
`MergedFiles` knows the way back from the lines of the text to those of the files.
"""

import os
import re
import sys
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click
from attrs import frozen

from mmids_trio.cli.client.failures import ClientError, ProblemData, Unusable
from mmids_trio.config.encoding import decode
from mmids_trio.config.writer import write_values
from mmids_trio.definitions import ReactorDefinition, WorkflowDefinition
from mmids_trio.errors import ConfigurationError, Problem
from mmids_trio.reload.source_files import ReadFile, SourceFile, SourceReader, given_values, repeated, sendable

REQUEST = "<request>"
"""What the server calls the text of a request."""

_REQUEST_PLACE = re.compile(rf"^{REQUEST}:(\d+):", re.MULTILINE)
"""How the server begins what it says of a line."""


@frozen
class MergedFiles:
    """What all files define together. `notes` say what of them is ignored, a sentence each.

    The text begins with the values of what came from outside into the files, which stands there as it was written.
    """

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

    def place_in_files(self, message: str) -> str:
        """What a node says of a line, with files and their lines in place of the request's."""
        return _REQUEST_PLACE.sub(self._place, message)

    def localised_problems(self, problems: Sequence[ProblemData]) -> list[ProblemData]:
        """The same of problems as programs read them."""
        localised = []
        for problem in problems:
            place = self._found(problem["line"]) if problem.get("file") == REQUEST else None
            localised.append(problem if place is None else {**problem, "file": place[0], "line": place[1]})
        return localised

    def _place(self, match: re.Match[str]) -> str:
        place = self._found(int(match[1]))
        return match[0] if place is None else f"{place[0]}:{place[1]}:"

    def _found(self, number: str | int | None) -> tuple[str, int] | None:
        """File and line of a line of the text; `None` for one that is of no file."""
        if not isinstance(number, int):
            return None
        index = bisect_right(self._first_lines, number) - 1
        return None if index < 0 else (self._files[index], number - self._first_lines[index] + 1)


def merge(sources: Sequence[SourceFile], environment: Mapping[str, str] | None = None) -> MergedFiles:
    """Join what files define, with what they include. Raises `Unusable` with every problem of any, in their order.

    Without `environment` nothing comes from outside of the files.
    """
    reader = SourceReader(environment, MAX_TEXT_BYTES)
    read = reader.read(sources)
    documents = [each.document for each in read]
    problems = [problem for each in documents for problem in (*each.problems, *each.unknown_settings)]
    problems += (*reader.problems, *repeated(documents))
    if problems:
        raise Unusable(problems)
    texts = sendable(read)
    values = given_values(read)
    head = write_values(values) if values else ""
    first_lines = [1 + head.count("\n")]
    for text in texts:
        first_lines.append(first_lines[-1] + text.count("\n") + 1)
    return MergedFiles(
        head + "\n".join([*texts, ""]),
        tuple(workflow for document in documents for workflow in document.workflows),
        tuple(reactor for document in documents for reactor in document.reactors),
        tuple(_notes(read)),
        tuple(each.source.file for each in read),
        tuple(first_lines[:-1]),
    )


def _notes(read: Sequence[ReadFile]) -> Iterator[str]:
    """Settings beside workflows stay behind silently: that is how a server's own file is planned each day."""
    for each in read:
        document = each.document
        if document.settings_place and not document.workflows and not document.reactors:
            file = each.source.file
            yield f"{file}: settings are not sent; they belong in the server's own file, which `reload` reads"
        # Unknown settings are errors.
        yield from (str(warning) for warning in document.warnings if warning not in document.unknown_settings)


SUFFIX = ".mmids"
"""Of the files of a directory that are read; others may lie beside them."""

STANDARD_INPUT = "-"

MAX_TEXT_BYTES = 16 * 1024 * 1024
"""All files together: what one request may bring."""


no_env_option = click.option(
    "--no-env", is_flag=True, help="Refuse files that take values (${NAME}, ${file:PATH}) or files (include) from here."
)
"""Of every command that reads files."""


def read_all(paths: Sequence[str], *, no_env: bool = False) -> MergedFiles:
    """What files, directories and standard input (`-`) define. Raises `ClientError`.

    `no_env`: neither values nor other files come from outside of them.
    """
    sources, problems = read_sources(paths)
    if problems:
        raise Unusable(problems)
    return merge(sources, None if no_env else os.environ)


def read_sources(paths: Sequence[str]) -> tuple[list[SourceFile], list[Problem]]:
    """The texts of all files, and what is wrong with those that are none. Raises `ClientError`."""
    sources, size = [], 0
    problems: list[Problem] = []
    for file in dict.fromkeys(file for path in paths for file in _files(path)):
        data = _read(file, MAX_TEXT_BYTES - size)
        size += len(data)
        name = "<stdin>" if file == STANDARD_INPUT else file
        try:
            sources.append(SourceFile(name, decode(data, name), Path(file).parent))
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
