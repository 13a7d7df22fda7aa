"""Workflow and reactor nodes: each reads its own header and children and tells what it understood.

Apart from the parser, which knows where a node begins and ends and nothing of what it means.
"""

from typing import ClassVar

from attrs import Factory, define

from mmids_trio.config.arguments import (
    Argument,
    BadTokenError,
    as_argument,
    as_name,
    is_first,
    read_child,
)
from mmids_trio.config.converters import whole_number
from mmids_trio.config.names import name_problem
from mmids_trio.config.references import References, has_reference
from mmids_trio.config.report import ProblemReport
from mmids_trio.config.scanner import Line, Token
from mmids_trio.config.suggestions import did_you_mean, shown
from mmids_trio.definitions import ParameterValue, ReactorDefinition, StepDefinition, WorkflowDefinition
from mmids_trio.errors import Place

LONGEST_UPDATE_INTERVAL = 31_536_000
"""Seconds in a year: whoever wants a longer one wants none."""

MAX_STEPS = 1_000
"""Steps of one workflow: far more than media need to pass through, few enough to plan and swap without a pause."""

MAX_ARGUMENTS = 64
"""Arguments of a node, and parameters of a step: several times what any kind knows, and each may be a problem."""

ROUTED_BY_REACTOR = "routed_by_reactor"

_interval = whole_number(0, LONGEST_UPDATE_INTERVAL, " of seconds")


@define
class NodeBase:
    """What the kinds of node share. `name` is empty where there is none or none was understood."""

    kind: ClassVar[str]

    report: ProblemReport
    header: Line
    references: References
    name: str = ""
    place: Place | None = None

    def read_header(self) -> None:
        """Read the arguments of the node."""
        raise NotImplementedError

    def read_child(self, line: Line) -> None:
        """Read a line inside the node, which has at least one token and no fault."""
        raise NotImplementedError

    def expect(self, what: str) -> None:
        """Report that something is missing at the end of the header, unless a fault there explains it."""
        if self.header.fault is None:
            self.report.error(self.header, self.header.opens or self.header.end, f"expected {what}")

    def read_name(self, kind: str) -> list[Argument]:
        """Read the name into `self`; returns the other arguments that could be understood."""
        tokens = self.header.tokens[1:]
        if not tokens:
            self.expect(f"a {kind} name")
            return []
        try:
            name = as_name(tokens[0], f"a {kind} name")
            if problem := name_problem(kind, name):
                raise BadTokenError(tokens[0].column, problem)
        except BadTokenError as error:
            self.report.error(self.header, error.column, str(error))
            may_be_argument = tokens[0].text and not has_reference(tokens[0].text)
            return self._arguments(tokens if may_be_argument else tokens[1:])
        self.name = name
        self.place = Place(
            self.report.file, self.header.number, tokens[0].column, self.report.shown_source(self.header)
        )
        return self._arguments(tokens[1:])

    def _arguments(self, tokens: list[Token]) -> list[Argument]:
        arguments: dict[str, Argument] = {}
        if self.too_many(self.header, tokens, f"a {self.kind} node has at most {MAX_ARGUMENTS} arguments"):
            return []
        for token in tokens:
            try:
                argument = as_argument(token, self.references)
            except BadTokenError as error:
                self.report.error(self.header, error.column, str(error))
                continue
            if argument.name in arguments:
                self.report.error(self.header, token.column, f"argument {shown(argument.name)} is given twice")
            arguments.setdefault(argument.name, argument)
        return list(arguments.values())

    def too_many(self, line: Line, tokens: list[Token], expected: str) -> bool:
        """Whether these are more than `MAX_ARGUMENTS`; if so, an error is reported at the first that is too much."""
        if len(tokens) <= MAX_ARGUMENTS:
            return False
        self.report.error(line, tokens[MAX_ARGUMENTS].column, f"too many arguments ({len(tokens)}); {expected}")
        return True

    def unknown_argument(self, argument: Argument, known: list[str]) -> None:
        """Warn of an argument of the header that says nothing to us."""
        if self.report.warnings.is_full:
            return  # looking for what was meant takes long
        suggestion = did_you_mean(argument.name, known)
        self.report.warn(self.header, argument.column, f"unknown argument {shown(argument.name)}{suggestion}")


@define
class WorkflowNode(NodeBase):
    """`workflow NAME [routed_by_reactor] {`, then one step a line."""

    kind = "workflow"
    routed_by_reactor: bool = False
    steps: list[StepDefinition] = Factory(list)
    _is_too_long: bool = False

    def read_header(self) -> None:
        """Read name and flag."""
        for argument in self.read_name(self.kind):
            if argument.name != ROUTED_BY_REACTOR:
                self.unknown_argument(argument, [ROUTED_BY_REACTOR])
            elif argument.value is not None:
                message = f"{ROUTED_BY_REACTOR} is a flag; expected it without a value, and ignored it"
                self.report.warn(self.header, argument.column, message)
            else:
                self.routed_by_reactor = True

    def read_child(self, line: Line) -> None:
        """Read a step; one with an argument that makes no sense is left out, lest its meaning be missed too."""
        head = line.tokens[0]
        if len(self.steps) == MAX_STEPS:
            self._refuse(line)
            return
        try:
            step_type = as_name(head, "a step name")
        except BadTokenError as error:
            self.report.error(line, error.column, str(error))
            return
        values: dict[str, ParameterValue] = {}
        places: dict[str, Place] = {}
        source = self.report.shown_source(line)
        if self._read_parameters(line, source, values, places):
            place = Place(self.report.file, line.number, head.column, source)
            self.steps.append(StepDefinition(step_type, values, place, places))

    def _refuse(self, line: Line) -> None:
        """Report a step that is too much, for all that follow."""
        if not self._is_too_long:
            self.report.error(line, line.tokens[0].column, f"too many steps; a workflow has at most {MAX_STEPS}")
        self._is_too_long = True

    def _read_parameters(
        self, line: Line, source: str, values: dict[str, ParameterValue], places: dict[str, Place]
    ) -> bool:
        file, number = self.report.file, line.number
        tokens = line.tokens[1:]
        if self.too_many(line, tokens, f"a step has at most {MAX_ARGUMENTS} parameters"):
            return False
        understood = True
        for token in tokens:
            try:
                column, name, value = as_argument(token, self.references)
            except BadTokenError as error:
                self.report.error(line, error.column, str(error))
                understood = False
                continue
            if name in values:
                message = f"parameter {shown(name)} is given twice (first in column {places[name].column})"
                self.report.error(line, column, message)
            else:
                values[name] = value
                places[name] = Place(file, number, column, source)
        return understood

    def definition(self) -> WorkflowDefinition:
        """What was understood."""
        return WorkflowDefinition(self.name, tuple(self.steps), self.routed_by_reactor, self.place)


@define
class ReactorNode(NodeBase):
    """`reactor NAME executor=EXECUTOR [update_interval=SECONDS] {`, then a parameter of the executor a line."""

    kind = "reactor"
    executor: str = ""
    update_interval: int = 0
    parameters: dict[str, ParameterValue] = Factory(dict)
    first_lines: dict[str, int] = Factory(dict)

    def read_header(self) -> None:
        """Read name, executor and interval."""
        known = {"executor": self._read_executor, "update_interval": self._read_interval}
        given = self.read_name(self.kind)
        for argument in given:
            if argument.name in known:
                known[argument.name](argument)
            else:
                self.unknown_argument(argument, sorted(known))
        if not any(argument.name == "executor" for argument in given):
            self.expect("executor=EXECUTOR")

    def _read_executor(self, argument: Argument) -> None:
        self.executor = argument.value or ""
        if not self.executor:
            self.report.error(self.header, argument.column, "expected executor=EXECUTOR, found no value")

    def _read_interval(self, argument: Argument) -> None:
        try:
            self.update_interval = int(_interval(argument.value or ""))
        except ValueError as error:
            self.report.error(self.header, argument.column, f"update_interval: {error}")

    def read_child(self, line: Line) -> None:
        """Read a parameter of the executor."""
        child = read_child(self.report, line, "parameter", self.references)
        if child is None:
            return
        name, value = child
        if is_first(self.report, line, self.first_lines, "parameter", name):
            self.parameters[name] = value

    def definition(self) -> ReactorDefinition:
        """What was understood."""
        return ReactorDefinition(self.name, self.executor, self.update_interval, self.parameters, self.place)


@define
class ValuesNode(NodeBase):
    """`values {`, then a line `NAME "VALUE"` for each variable of the text: how whoever sends it says what they are."""

    kind = "values"

    def read_header(self) -> None:
        """There is nothing to read, but such a node stands in what is sent and in nothing else."""
        if len(self.header.tokens) > 1:
            self.report.error(self.header, self.header.tokens[1].column, "expected '{': values takes no arguments")
        if self.references.given is None:
            self.report.error(self.header, self.header.tokens[0].column, "values stand only in what a client sends")

    def read_child(self, line: Line) -> None:
        """Read one; nothing of it but the name is shown."""
        name, *rest = line.tokens
        if (name.quote is not None and name.text) or len(rest) != 1 or rest[0].text or rest[0].quote is None:
            self.report.error(line, name.column, 'expected a line NAME "VALUE"', hide_all=True)
        elif self.references.given is not None:
            self.references.given[name.text if name.quote is None else name.quote] = rest[0].quote
