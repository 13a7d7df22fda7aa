"""From definitions back to text that the parser reads as equal definitions.

Apart from the parser because it serves other callers: those that show or keep a workflow which came from
elsewhere.
"""

import re
from collections.abc import Callable, Iterable, Mapping

from mmids_trio.config.arguments import ANY_KEY, STREAM_KEYS
from mmids_trio.config.references import VariableNames, escaped
from mmids_trio.config.scanner import MAX_LINE_LENGTH, is_plain, is_quotable, is_surely_plain
from mmids_trio.config.suggestions import shown
from mmids_trio.definitions import ParameterValue, ReactorDefinition, Resolved, StepDefinition, WorkflowDefinition

_TO_ESCAPE = re.compile(r'"|\\(?=["\\]|\Z)')
"""Quotes, and the backslashes that would otherwise read as an escape."""


Show = Callable[[Resolved], Resolved | None]
"""With which names a value is written of which some came from outside; `None`: the value itself is written."""


def as_written(value: Resolved) -> Resolved:
    """With those that it has."""
    return value


def with_secrets(_value: Resolved) -> None:
    """The values themselves, for who must know them."""


def write_workflow(definition: WorkflowDefinition, show: Show = as_written) -> str:
    """The workflow node of `definition`, with a final line end.

    Raises `ValueError` for what the language cannot express: names that are not plain words, values with a
    line feed, a NUL or half a surrogate pair. Nothing that the parser has read is of that kind.
    """
    return write_workflow_of(definition, [write_step(step, show) for step in definition.steps])


def write_workflow_of(definition: WorkflowDefinition, steps: Iterable[str]) -> str:
    """The same where its steps are written already."""
    flag = " routed_by_reactor" if definition.routed_by_reactor else ""
    return f"workflow {_name(definition.name)}{flag} {{\n{''.join(steps)}}}\n"


def write_step(step: StepDefinition, show: Show = as_written, *, by_name: bool = False) -> str:
    """The line of a step in its workflow, with its line end. Raises `ValueError` as `write_workflow` does.

    `by_name`: its parameters stand in the order of their names, not as they were given.
    """
    parameters = sorted(step.parameters.items()) if by_name else step.parameters.items()
    words = [_name(step.step_type), *(_argument(name, value, show) for name, value in parameters)]
    return f"{_indented(' '.join(words))}\n"


def write_reactor(definition: ReactorDefinition, show: Show = as_written) -> str:
    """The reactor node of `definition`, with a final line end. Raises `ValueError` as `write_workflow` does."""
    interval = f" update_interval={definition.update_interval}" if definition.update_interval else ""
    lines = "".join(f"{_indented(_setting(*item, show))}\n" for item in definition.parameters.items())
    return f"reactor {_name(definition.name)} executor={_value(definition.executor, show)}{interval} {{\n{lines}}}\n"


def write_values(values: Mapping[str, str]) -> str:
    """The node that says what the variables of a text are, by their names."""
    lines = "".join(f"    {_word(name)} {_in_quotes(value)}\n" for name, value in values.items())
    return f"values {{\n{lines}}}\n"


def write_complete(nodes: Iterable[WorkflowDefinition | ReactorDefinition], between: str = "") -> str:
    """These nodes as what a client sends: with what their variables are before them, if there are any.

    `between`: a text in the language that comes before the nodes.
    """
    names = VariableNames()
    texts = [
        write_workflow(node, names.show) if isinstance(node, WorkflowDefinition) else write_reactor(node, names.show)
        for node in nodes
    ]
    return (write_values(names.values) if names.values else "") + between + "".join(texts)


def _indented(line: str) -> str:
    """A line that was read without its indentation may just fit; then it stays without."""
    return f"    {line}" if len(line) + 4 <= MAX_LINE_LENGTH else line


def _setting(name: str, value: ParameterValue, show: Show) -> str:
    if value is None:
        return _name(name)
    return f"{_name(name)} {_value(value, show)}"


def _argument(name: str, value: ParameterValue, show: Show) -> str:
    if value is None:
        return _name(name)
    is_literal = name in STREAM_KEYS and "*" in value and value != ANY_KEY
    return f"{_name(name)}={_value(value, show, is_literal=is_literal)}"


def _name(name: str) -> str:
    if is_surely_plain(name):
        return name
    # A state file of 0.1 may hold a name with `#` in it, and is read so that it stays.
    if not name or name.startswith("#") or "=" in name or not is_plain(name.replace("#", "")):
        raise ValueError(f"expected a name that is a plain word, found {shown(name)}")
    return name


def _value(value: str, show: Show, *, is_literal: bool = False) -> str:
    """`is_literal`: it has to stand in quotes in any case."""
    named = show(value) if isinstance(value, Resolved) else None
    if named is not None:
        return _resolved(named)
    return value if value and not is_literal and is_plain(value) else _quoted(value)


def _resolved(value: Resolved) -> str:
    """In quotes where a piece of it could not stand without."""
    texts = [piece if isinstance(piece, str) else piece.name for piece in value.pieces]
    inside = "".join(escaped(piece) if isinstance(piece, str) else f"${{{piece.name}}}" for piece in value.pieces)
    return inside if all(is_plain(text) and "*" not in text for text in texts) else _in_quotes(inside)


def _word(text: str) -> str:
    return text if is_plain(text) else _in_quotes(text)


def _quoted(value: str) -> str:
    return _in_quotes(escaped(value))


def _in_quotes(value: str) -> str:
    if not is_quotable(value):
        raise ValueError(f"expected a value without line feeds and NUL characters, found {shown(value)}")
    return '"' + _TO_ESCAPE.sub(r"\\\g<0>", value) + '"'
