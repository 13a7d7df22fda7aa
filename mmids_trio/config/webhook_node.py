"""The webhook node: where events are posted to, besides `webhook_url`.

Apart from the other nodes because its children are of one kind alone; they stand in the server's own file, as settings.
"""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import Factory, define

from mmids_trio.config.arguments import read_child
from mmids_trio.config.converters import filled, text, web_address
from mmids_trio.config.nodes import NodeBase
from mmids_trio.config.scanner import Line
from mmids_trio.config.settings import event_names
from mmids_trio.config.suggestions import did_you_mean, shown
from mmids_trio.definitions import Resolved, Variable, WebhookDefinition

MOST_WEBHOOKS = 16
"""Of one server: each has a queue of its own, and a task."""

PARAMETERS: Mapping[str, Callable[[str], Any]] = {
    "url": web_address,
    "secret": filled,
    "types": event_names,
    "workflow": text,
}


@define
class WebhookNode(NodeBase):
    """`webhook NAME {`, then `url`, and perhaps `secret`, `types` and `workflow`, one a line."""

    kind = "webhook"
    values: dict[str, Any] = Factory(dict)
    first_lines: dict[str, int] = Factory(dict)
    variables: list[Variable] = Factory(list)

    def read_header(self) -> None:
        """Read the name."""
        for argument in self.read_name(self.kind):
            self.unknown_argument(argument, [])

    def read_child(self, line: Line) -> None:
        """Read a parameter. Nothing of its value is shown: most are secret."""
        child = read_child(self.report, line, "parameter", self.references)
        if child is None:
            return
        name, value = child
        if name not in PARAMETERS:
            message = f"unknown parameter {shown(name)}{did_you_mean(name, PARAMETERS)}; expected one of "
            self.report.error(line, line.tokens[0].column, message + ", ".join(PARAMETERS), hide_all=True)
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
            self.values[name] = PARAMETERS[name](value or "")
        except ValueError as error:
            self.report.error(line, line.tokens[0].column, f"{name}: {error}", hide_all=True)

    def check_complete(self) -> None:
        """Report what is missing."""
        if "url" not in self.first_lines:
            self.report.error(self.header, self.header.tokens[0].column, "expected a line 'url URL' in this webhook")

    def definition(self) -> WebhookDefinition:
        """What was understood."""
        types = self.values.get("types")
        return WebhookDefinition(
            self.name,
            self.values.get("url", ""),
            self.values.get("secret"),
            () if types is None else tuple(types.split(",")),
            self.values.get("workflow"),
        )
