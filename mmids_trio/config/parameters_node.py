"""Nodes whose children are parameters of one table, one a line: what `webhook` and `cluster` share.

They stand in the server's own file, as settings, and nothing of their values is shown: many are secret.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from attrs import Factory, define

from mmids_trio.config.arguments import read_child
from mmids_trio.config.nodes import NodeBase
from mmids_trio.config.scanner import Line
from mmids_trio.config.suggestions import did_you_mean, shown
from mmids_trio.definitions import Resolved, Variable


@define
class ParametersNode(NodeBase):
    """`KIND NAME {`, then one parameter a line."""

    parameters: ClassVar[Mapping[str, Callable[[str], Any]]]
    """What a value becomes; raises `ValueError`."""
    needed: ClassVar[Mapping[str, str]]
    """Those that may not be missing, with what a message calls their value."""

    values: dict[str, Any] = Factory(dict)
    first_lines: dict[str, int] = Factory(dict)
    variables: list[Variable] = Factory(list)

    def read_header(self) -> None:
        """Read the name."""
        for argument in self.read_name(self.kind):
            self.unknown_argument(argument, [])

    def read_child(self, line: Line) -> None:
        """Read a parameter."""
        child = read_child(self.report, line, "parameter", self.references)
        if child is None:
            return
        name, value = child
        if name not in self.parameters:
            message = f"unknown parameter {shown(name)}{did_you_mean(name, self.parameters)}; expected one of "
            self.report.error(line, line.tokens[0].column, message + ", ".join(self.parameters), hide_all=True)
        elif name in self.first_lines:
            message = f"parameter {shown(name)} is given twice (first on line {self.first_lines[name]})"
            self.report.error(line, line.tokens[0].column, message, hide_all=True)
        else:
            self.first_lines[name] = line.number
            self._read_value(line, name, value)

    def _read_value(self, line: Line, name: str, value: str | None) -> None:
        if isinstance(value, Resolved):
            self.variables += value.variables
        try:
            self.values[name] = self.parameters[name](value or "")
        except ValueError as error:
            self.report.error(line, line.tokens[0].column, f"{name}: {error}", hide_all=True)

    def check_complete(self) -> None:
        """Report what is missing."""
        for name, what in self.needed.items():
            if name not in self.first_lines:
                message = f"expected a line '{name} {what}' in this {self.kind}"
                self.report.error(self.header, self.header.tokens[0].column, message)
