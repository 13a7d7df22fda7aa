"""The settings node: one setting a line, looked up in the table of settings.

Apart from the other nodes because its children mean something each, and some mean something together.
"""

from collections.abc import Sequence
from typing import Any

from attrs import Factory, define

from mmids_trio.config.arguments import is_first, read_child
from mmids_trio.config.nodes import NodeBase
from mmids_trio.config.parameters import Parameter
from mmids_trio.config.scanner import Line
from mmids_trio.config.settings import KNOWN_SETTINGS, Settings, is_loopback
from mmids_trio.config.suggestions import did_you_mean, shown
from mmids_trio.definitions import Resolved, Variable
from mmids_trio.errors import Place

TOKEN_NEEDED = (
    "expected a setting 'http_api_token' or 'http_api_tokens_path' too: other machines can reach the HTTP API at this "
    "address (only localhost, 127.0.0.0/8 and ::1 do without)"
)
TOKENS = ("http_api_token", "http_api_tokens_path")


@define
class SettingsNode(NodeBase):
    """`settings {`, then one setting a line. `lines` has the lines of the settings that have a value."""

    kind = "settings"
    values: dict[str, Any] = Factory(dict)
    lines: dict[str, Line] = Factory(dict)
    first_lines: dict[str, int] = Factory(dict)
    variables: list[Variable] = Factory(list)

    def read_header(self) -> None:
        """There is nothing to read."""
        if len(self.header.tokens) > 1:
            column = self.header.tokens[1].column
            self.report.error(self.header, column, "expected '{': settings takes no arguments")

    def read_child(self, line: Line) -> None:
        """Read a setting. One without a value counts as given, and leaves the default."""
        child = read_child(self.report, line, "setting", self.references)
        if child is None:
            return
        name, value = child
        known = KNOWN_SETTINGS.get(name)
        if known is None:
            if self.report.warnings.is_full:
                return  # looking for what was meant takes long
            message = f"unknown setting {shown(name)}{did_you_mean(name, KNOWN_SETTINGS)}"
            self.report.warn_of_setting(line, line.tokens[0].column, message)
        elif is_first(self.report, line, self.first_lines, "setting", known.attribute) and value is not None:
            self._read_value(line, known, value)

    def _read_value(self, line: Line, known: Parameter, value: str) -> None:
        self.lines[known.attribute] = line
        if isinstance(value, Resolved):
            self.variables += value.variables
        try:
            self.values[known.attribute] = known.read(value)
        except ValueError as error:
            self.report.error(line, line.tokens[1].column, str(error))

    def settings(self) -> Settings:
        """What was understood."""
        return Settings(**self.values)

    def places(self) -> dict[str, Place]:
        """Where the value of each setting stands."""
        report = self.report
        return {
            name: Place(report.file, line.number, line.tokens[1].column, report.shown_source(line))
            for name, line in self.lines.items()
        }

    def check_together(self) -> None:
        """Report what is wrong with the settings as a whole."""
        host = self.values.get("http_api_host")
        if (
            host is not None
            and not is_loopback(host)
            and not {"http_api_token", "http_api_tokens_path"} & self.lines.keys()
        ):
            line = self.lines["http_api_host"]
            self.report.error(line, line.tokens[1].column, TOKEN_NEEDED)


def merged(nodes: Sequence[SettingsNode]) -> SettingsNode | None:
    """The settings of all nodes of one text as one; `None` where there is none. Of two values the last counts."""
    if not nodes:
        return None
    for later in nodes[1:]:
        nodes[0].values.update(later.values)
        nodes[0].lines.update(later.lines)
        nodes[0].variables += later.variables
    return nodes[0]
