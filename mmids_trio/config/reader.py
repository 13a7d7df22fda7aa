"""Which line belongs to which node, and how to go on after a mistake: the stack of open nodes.

Apart from the nodes, which know what lines mean, and from the scanner, which knows them one at a time.  The
guesses made here decide how many errors follow from one mistake; each aims at none.
"""

from collections.abc import Iterator
from math import inf

from attrs import Factory, define, frozen

from mmids_trio.config.arguments import BadTokenError, as_value
from mmids_trio.config.cluster_node import ClusterNode
from mmids_trio.config.nodes import NodeBase, ReactorNode, ValuesNode, WorkflowNode
from mmids_trio.config.references import OUTSIDE_ONLY, References, not_here
from mmids_trio.config.report import ProblemReport
from mmids_trio.config.scanner import Line, scan
from mmids_trio.config.settings_node import SettingsNode
from mmids_trio.config.suggestions import did_you_mean, shown
from mmids_trio.config.webhook_node import WebhookNode
from mmids_trio.errors import Place

NODE_KINDS: dict[str, type[NodeBase]] = {
    kind.kind: kind for kind in (SettingsNode, ReactorNode, WorkflowNode, WebhookNode, ClusterNode)
}

ANY_NODE = "settings, reactor, workflow or webhook"

INCLUDE = "include"
"""What a line begins with, outside of any node, that names other files."""


@frozen
class Include:
    """A line `include PATTERN`."""

    pattern: str
    place: Place


@define
class _Block:
    """A node that has begun. `node` is `None` for one whose lines mean nothing to us."""

    header: Line
    node: NodeBase | None
    lacks_brace: bool = False

    @property
    def indent(self) -> int:
        return _indent(self.header)

    def __str__(self) -> str:
        if self.node is None:
            return "the block"
        return f"{self.node.kind} {shown(self.node.name)}" if self.node.name else self.node.kind


@define
class Reader:
    """Reads a text, line by line, into `nodes` (in the order of the text) and a report."""

    report: ProblemReport
    most: float = inf
    hash_in_words: bool = False
    """See `scan`."""
    references: References = Factory(not_here)
    nodes: list[NodeBase] = Factory(list)
    includes: list[Include] = Factory(list)
    _open: list[_Block] = Factory(list)
    _first_lines: dict[tuple[str, str], int] = Factory(dict)
    _is_astray: bool = False
    """Whether a line outside of any node has been reported, so that the lines after it need not be."""

    def read(self, text: str) -> None:
        """Read the whole of `text`, or until more is wrong with it than a report lists."""
        for _ in self.read_in_turns(text):
            pass

    def read_in_turns(self, text: str) -> Iterator[None]:
        """The same, with a pause after every `LINES_PER_TURN` lines, for callers who have other things to do.

        It ends where there are more than `most` nodes.
        """
        last = None
        for lines in scan(text, hash_in_words=self.hash_in_words):
            for last in lines:
                self._read_line(last)
                if self.report.errors.is_full:
                    break
            if self.report.errors.is_full:
                break
            if len(self.nodes) > self.most:
                return
            yield
        if last and self._open:
            self._miss_brace(self._open[-1], last, last.end, "")

    def _read_line(self, line: Line) -> None:
        if line.fault:
            self.report.error(line, *line.fault)
        if line.tokens or line.opens:
            kind = _node_kind(line)
            if self._belongs_inside(line, kind):
                self._read_child(line)
            elif not line.tokens and self._open and self._open[-1].lacks_brace:
                self._open[-1].lacks_brace = False
            elif kind is None and not self._open and _is_include(line):
                self._read_include(line)
            elif kind is None:
                self._begin_unknown(line)
            else:
                self._begin(line, kind)
        if line.closes:
            self._close(line)

    def _belongs_inside(self, line: Line, kind: type[NodeBase] | None) -> bool:
        if line.opens or not self._open:
            return False
        # An unclosed quote swallows the brace behind it.
        return not (kind and line.fault and line.source.rstrip().endswith("{"))

    def _read_child(self, line: Line) -> None:
        node = self._open[-1].node
        if node and not line.fault:
            node.read_child(line)

    def _read_include(self, line: Line) -> None:
        self._is_astray = False
        if line.fault:
            return
        head, *rest = line.tokens
        if not self.references.is_outside:
            why = self.references.refusal or OUTSIDE_ONLY
            self.report.error(line, head.column, f"other files cannot be included here: {why}")
        elif len(rest) != 1:
            self.report.error(
                line, head.column, "expected include PATTERN: a file, or a pattern as *.mmids for several"
            )
        else:
            try:
                pattern = as_value(rest[0], self.references)
            except BadTokenError as error:
                self.report.error(line, error.column, str(error))
                return
            place = Place(self.report.file, line.number, rest[0].column, self.report.shown_source(line))
            self.includes.append(Include(pattern, place))

    def _begin(self, line: Line, kind: type[NodeBase]) -> None:
        self._is_astray = False
        if self._open:
            self._leave_for(line, kind)
        node = kind(self.report, line, self.references)
        node.read_header()
        lacks_brace = not line.opens
        if lacks_brace and not line.fault:
            self.report.error(line, line.end, "expected '{' at the end of the line")
        self._check_unique(node)
        if not isinstance(node, ValuesNode):
            self.nodes.append(node)
        elif self.nodes:
            self.report.error(line, line.tokens[0].column, "expected values before all other nodes")
        self._open.append(_Block(line, node, lacks_brace))

    def _leave_for(self, line: Line, kind: type[NodeBase]) -> None:
        """A node begins while another is open: if it is indented it is meant to be inside, else a `}` is missing."""
        around = self._open[-1]
        if _indent(line) > around.indent:
            self.report.error(line, line.tokens[0].column, f"a {kind.kind} node inside {around}; expected it outside")
            return
        self._miss_brace(around, line, line.tokens[0].column, f" before this {kind.kind} node")
        while self._open and _indent(line) <= self._open[-1].indent:
            self._open.pop()

    def _miss_brace(self, block: _Block, line: Line, column: int, where: str) -> None:
        if not block.lacks_brace:
            message = f"expected '}}' to close {block}, opened on line {block.header.number},{where}"
            self.report.error(line, column, message.rstrip(","))

    def _begin_unknown(self, line: Line) -> None:
        """Something that is no node stands where only a node can, or has a block of its own inside a node."""
        if not line.opens:
            if not self._is_astray and not line.fault:
                self._report_unknown(line)
            self._is_astray = True
            return
        if not self._open:
            if line.tokens or not self._is_astray:
                self._report_unknown(line)
            self._is_astray = False
        elif not line.fault:
            self.report.error(
                line, line.opens, f"unexpected '{{' inside {self._open[-1]}; expected the end of the line"
            )
        self._open.append(_Block(line, None))

    def _report_unknown(self, line: Line) -> None:
        if not line.tokens:
            self.report.error(line, line.opens, f"expected a node name ({ANY_NODE}) before '{{'")
            return
        head = line.tokens[0]
        if head.quote is not None or "=" in head.text:
            self.report.error(line, head.column, f"expected a node name: {ANY_NODE}")
            return
        suggestion = did_you_mean(head.text, NODE_KINDS)
        if line.opens or suggestion:
            message = f"unknown node {shown(head.text)}{suggestion or f'; expected {ANY_NODE}'}"
        else:
            message = f"expected a node ({ANY_NODE}), found {shown(head.text)} outside of any"
        self.report.error(line, head.column, message)

    def _check_unique(self, node: NodeBase) -> None:
        line, name = node.header, node.name
        if not name and not isinstance(node, SettingsNode | ValuesNode):
            return
        first = self._first_lines.setdefault((node.kind, name), line.number)
        if first == line.number:
            return
        if name:
            message = f"duplicate {node.kind} name {shown(name)} (first on line {first})"
            self.report.error(line, line.tokens[1].column, message)
        elif isinstance(node, ValuesNode):
            self.report.error(line, line.tokens[0].column, f"a second values node (first on line {first})")
        else:
            message = f"a second settings node, merged with that on line {first}; of a setting in both the last counts"
            self.report.warn(line, line.tokens[0].column, message)

    def _close(self, line: Line) -> None:
        if self._open:
            self._open.pop()
        elif not self._is_astray:
            self.report.error(line, line.closes, "unexpected '}'; no node is open here")
        self._is_astray = False


def _indent(line: Line) -> int:
    return line.tokens[0].column if line.tokens else line.opens


def _node_kind(line: Line) -> type[NodeBase] | None:
    """The kind of node that the line's first word names, if any."""
    head = line.tokens[0] if line.tokens else None
    if head is None or head.quote is not None:
        return None
    # Nobody writes values by hand, so no message suggests them; a block only, as a word may stand astray.
    is_values = line.opens and head.text == ValuesNode.kind
    return ValuesNode if is_values else NODE_KINDS.get(head.text.lower())


def _is_include(line: Line) -> bool:
    return not line.opens and bool(line.tokens) and line.tokens[0].quote is None and line.tokens[0].text == INCLUDE
