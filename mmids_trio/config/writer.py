"""From definitions back to text that the parser reads as equal definitions.

Apart from the parser because it serves other callers: those that show or keep a workflow which came from
elsewhere.
"""

import re

from mmids_trio.config.scanner import MAX_LINE_LENGTH, is_plain, is_quotable
from mmids_trio.config.suggestions import shown
from mmids_trio.definitions import ParameterValue, ReactorDefinition, StepDefinition, WorkflowDefinition

_TO_ESCAPE = re.compile(r'"|\\(?=["\\]|\Z)')
"""Quotes, and the backslashes that would otherwise read as an escape."""


def write_workflow(definition: WorkflowDefinition) -> str:
    """The workflow node of `definition`, with a final line end.

    Raises `ValueError` for what the language cannot express: names that are not plain words, values with a
    line feed, a NUL or half a surrogate pair. Nothing that the parser has read is of that kind.
    """
    flag = " routed_by_reactor" if definition.routed_by_reactor else ""
    steps = "".join(f"{_indented(_step(step))}\n" for step in definition.steps)
    return f"workflow {_name(definition.name)}{flag} {{\n{steps}}}\n"


def write_reactor(definition: ReactorDefinition) -> str:
    """The reactor node of `definition`, with a final line end. Raises `ValueError` as `write_workflow` does."""
    interval = f" update_interval={definition.update_interval}" if definition.update_interval else ""
    lines = "".join(f"{_indented(_setting(*item))}\n" for item in definition.parameters.items())
    return f"reactor {_name(definition.name)} executor={_value(definition.executor)}{interval} {{\n{lines}}}\n"


def _indented(line: str) -> str:
    """A line that was read without its indentation may just fit; then it stays without."""
    return f"    {line}" if len(line) + 4 <= MAX_LINE_LENGTH else line


def _setting(name: str, value: ParameterValue) -> str:
    if value is None:
        return _name(name)
    return f"{_name(name)} {_value(value)}"


def _step(step: StepDefinition) -> str:
    return " ".join([_name(step.step_type), *(_argument(*item) for item in step.parameters.items())])


def _argument(name: str, value: ParameterValue) -> str:
    return _name(name) if value is None else f"{_name(name)}={_value(value)}"


def _name(name: str) -> str:
    # A state file of 0.1 may hold a name with `#` in it, and is read so that it stays.
    if not name or name.startswith("#") or "=" in name or not is_plain(name.replace("#", "")):
        raise ValueError(f"expected a name that is a plain word, found {shown(name)}")
    return name


def _value(value: str) -> str:
    if value and is_plain(value):
        return value
    return _quoted(value)


def _quoted(value: str) -> str:
    if not is_quotable(value):
        raise ValueError(f"expected a value without line feeds and NUL characters, found {shown(value)}")
    return '"' + _TO_ESCAPE.sub(r"\\\g<0>", value) + '"'
