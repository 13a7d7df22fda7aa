"""What a command prints: text for people (with colours on a terminal), or one JSON document for machines."""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from attrs import define, field
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from mmids_trio.cli.client.diff import Line
from mmids_trio.cli.client.failures import ClientError
from mmids_trio.errors import MmidsError


@define
class Output:
    """Results go to stdout, progress and errors to stderr."""

    as_json: bool
    _out: Console = field(factory=lambda: _console(stderr=False), init=False)
    _err: Console = field(factory=lambda: _console(stderr=True), init=False)

    def show(self, lines: Iterable[Line]) -> None:
        """Lines for people."""
        if self.as_json:
            return
        for line in lines:
            text = Text(line.text, line.style)
            if line.note:
                text.append("   ").append(line.note, line.note_style)
            self._out.print(text)

    def say(self, text: str, style: str = "") -> None:
        """One line for people."""
        self.show([Line(text, style)])

    def raw(self, text: str) -> None:
        """Text as it is, for people and machines."""
        click.echo(text, nl=False)

    def document(self, value: Any) -> None:
        """The result for machines."""
        if self.as_json:
            click.echo(json.dumps(value, ensure_ascii=False))

    def warn(self, text: str) -> None:
        """Something that is worth a line on stderr."""
        self._err.print(Text(text, "yellow"))

    def fail(self, error: MmidsError) -> None:
        """What went wrong, for people on stderr, and for machines."""
        self._err.print(Text(f"error: {error}", "red"))
        status = error.status if isinstance(error, ClientError) else None
        problems = list(error.problems) if isinstance(error, ClientError) else []
        self.document({"error": str(error), "status": status, "problems": problems})

    def ask(self, question: str) -> bool:
        """Whether to go on; true where there is nobody to ask."""
        return not sys.stdin.isatty() or click.confirm(question, err=True)

    @contextmanager
    def working(self, what: str, total: int | None = None) -> Iterator["Work"]:
        """Something that takes a while: a display on a terminal, else a line at its start."""
        if not self._err.is_terminal or self.as_json:
            self.say(what)
            yield Work(None)
            return
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._err, transient=True) as progress:
            progress.add_task(what, total=total)
            yield Work(progress)


@define
class Work:
    """What `working` shows."""

    _progress: Progress | None

    def step(self) -> None:
        """One of the total is done."""
        if self._progress is not None:
            self._progress.advance(self._progress.task_ids[0])


def _console(*, stderr: bool) -> Console:
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, soft_wrap=True)
