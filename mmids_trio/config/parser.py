"""The configuration language's front door: text in, definitions and every problem out.

`parse` never raises for what a text holds; it reports it, beside whatever could be understood, so that a
caller can add problems of meaning (unknown step types) to the same report.
"""

from collections.abc import Generator, Mapping, Sequence
from math import inf

from attrs import field, frozen

from mmids_trio.config.cluster_node import ClusterNode
from mmids_trio.config.encoding import decode
from mmids_trio.config.nodes import NodeBase, ReactorNode, WorkflowNode
from mmids_trio.config.reader import Include, Reader
from mmids_trio.config.references import References, given_in_the_text, not_here
from mmids_trio.config.report import ProblemReport
from mmids_trio.config.scanner import Line
from mmids_trio.config.settings import Settings
from mmids_trio.config.settings_node import SettingsNode, merged
from mmids_trio.config.webhook_node import MOST_WEBHOOKS, WebhookNode
from mmids_trio.definitions import (
    ClusterDefinition,
    ReactorDefinition,
    Variable,
    WebhookDefinition,
    WorkflowDefinition,
)
from mmids_trio.errors import ConfigurationError, Place, Problem

__all__ = [
    "DefinitionSet",
    "Document",
    "decode",
    "parse",
    "parse_set",
    "parse_workflow",
    "parse_workflows",
    "parse_workflows_in_turns",
]


WHOLE_FILES = "; for more than one node there are the command `apply FILE` and PUT /config, which takes no settings"
"""What helps who sends a whole file where one workflow is expected."""

NODES_PER_TURN = 100
"""Nodes that become definitions at once, for callers who have other things to do; as for lines of the text."""


@frozen
class Document:
    """What a text says. It may run only if `problems` is empty; `warnings` say what of it is ignored.

    With problems, it is what could be understood: a step with an argument that could not be is left out; a
    node whose name could not be has the name `""`; two workflows of one name are both here; of a parameter
    or setting given twice the first counts.
    """

    settings: Settings
    reactors: tuple[ReactorDefinition, ...]
    workflows: tuple[WorkflowDefinition, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    unknown_settings: tuple[Problem, ...] = ()
    """Those of the warnings that a check, a reload and the setting `strict_settings` take for errors."""
    includes: tuple[Include, ...] = ()
    """Other files that it names."""
    secret_settings: tuple[Variable, ...] = ()
    """What came from outside into its settings."""
    settings_place: Place | None = None
    """Where the settings begin, if there are any."""
    setting_places: Mapping[str, Place] = field(factory=dict)
    """Where the value of each setting stands that has one, by its name in `Settings`."""
    webhooks: tuple[WebhookDefinition, ...] = ()
    """Where events are posted to, besides `webhook_url`."""
    cluster: ClusterDefinition | None = None
    """The servers that it shares its streams with."""


@frozen
class DefinitionSet:
    """All that a text without settings defines, in its order."""

    workflows: tuple[WorkflowDefinition, ...]
    reactors: tuple[ReactorDefinition, ...]


def parse(text: str, file: str, references: References | None = None) -> Document:
    """Read a whole configuration, which messages call `file`. Never raises for what the text holds.

    `references` says what comes from outside; without it nothing may.
    """
    reader = _read(text, file, references)
    nodes, report = reader.nodes, reader.report
    settings = merged([node for node in nodes if isinstance(node, SettingsNode)])
    if settings is not None:
        settings.check_together()
    webhooks = [node for node in nodes if isinstance(node, WebhookNode)]
    for webhook in webhooks:
        webhook.check_complete()
    for webhook in webhooks[MOST_WEBHOOKS:]:
        _reject(webhook, f"too many webhooks; there may be {MOST_WEBHOOKS}")
    clusters = [node for node in nodes if isinstance(node, ClusterNode)]
    for cluster in clusters:
        cluster.check_complete()
    for cluster in clusters[1:]:
        _reject(cluster, "a second cluster node; a server is in one cluster")
    return Document(
        Settings() if settings is None else settings.settings(),
        tuple(node.definition() for node in nodes if isinstance(node, ReactorNode)),
        tuple(node.definition() for node in nodes if isinstance(node, WorkflowNode)),
        report.errors.in_order(),
        report.warnings.in_order(),
        report.unknown_settings.in_order(),
        tuple(reader.includes),
        (
            *(() if settings is None else settings.variables),
            *(variable for node in (*webhooks, *clusters) for variable in node.variables),
        ),
        None if settings is None else Place(file, settings.header.number, 1, settings.header.source),
        {} if settings is None else settings.places(),
        tuple(webhook.definition() for webhook in webhooks),
        clusters[0].definition() if clusters else None,
    )


def parse_workflow(text: str, file: str, *, takes_values: bool = False) -> WorkflowDefinition:
    """Read a text that is one workflow node and nothing else; raises `ConfigurationError` for any other.

    `takes_values`: a node `values` may come before it.
    """
    reader = _read(text, file, given_in_the_text() if takes_values else None)
    workflows = _workflow_nodes(reader, "expected one workflow node and nothing else", WHOLE_FILES)
    if not reader.nodes and not reader.report.errors.problems:
        first_line = Line(1, text.partition("\n")[0].removesuffix("\r"))
        reader.report.error(first_line, 1, "expected a workflow node; found none")
    for node in workflows[1:]:
        _reject(node, "expected one workflow node; found another")
    _raise_problems(reader)
    return workflows[0].definition()


def parse_workflows(text: str, file: str) -> tuple[WorkflowDefinition, ...]:
    """Read a text of workflow nodes alone, possibly none; raises `ConfigurationError` for any other."""
    work = parse_workflows_in_turns(text, file)
    while True:
        try:
            next(work)
        except StopIteration as end:
            workflows: tuple[WorkflowDefinition, ...] = end.value
            return workflows


def parse_workflows_in_turns(text: str, file: str) -> Generator[None, None, tuple[WorkflowDefinition, ...]]:
    """The same, with a pause after every few lines or nodes; raises `ConfigurationError` for any other."""
    reader = Reader(ProblemReport(file))
    yield from reader.read_in_turns(text)
    workflows = _workflow_nodes(reader, "expected workflow nodes only")
    _raise_problems(reader)
    return tuple((yield from _definitions(workflows)))


def parse_set(
    text: str,
    file: str,
    most: float = inf,
    *,
    hash_in_words: bool = False,
    references: References | None = None,
) -> Generator[None, None, DefinitionSet]:
    """Read a text of workflow and reactor nodes, in turns; raises `ConfigurationError` for any other.

    Where there are more than `most`, only somewhat more of them are read. `hash_in_words`: see `scanner.scan`.
    `references`: as for `parse`.
    """
    reader = Reader(ProblemReport(file), most, hash_in_words, references or not_here())
    yield from reader.read_in_turns(text)
    for node in reader.nodes:
        if not isinstance(node, WorkflowNode | ReactorNode):
            what = "settings" if isinstance(node, SettingsNode) else f"{node.kind}s"
            _reject(node, f"expected workflow and reactor nodes only; {what} belong in the server's own file")
    _raise_problems(reader)
    workflows = yield from _definitions([node for node in reader.nodes if isinstance(node, WorkflowNode)])
    return DefinitionSet(
        tuple(workflows), tuple(node.definition() for node in reader.nodes if isinstance(node, ReactorNode))
    )


def _definitions(nodes: Sequence[WorkflowNode]) -> Generator[None, None, list[WorkflowDefinition]]:
    definitions = []
    for number, node in enumerate(nodes, 1):
        definitions.append(node.definition())
        if number % NODES_PER_TURN == 0:
            yield
    return definitions


def _read(text: str, file: str, references: References | None) -> Reader:
    reader = Reader(ProblemReport(file), references=references or not_here())
    reader.read(text)
    return reader


def _workflow_nodes(reader: Reader, expected: str, hint: str = "") -> Sequence[WorkflowNode]:
    """The nodes that are workflows; the others are reported."""
    for node in reader.nodes:
        if not isinstance(node, WorkflowNode):
            _reject(node, f"{expected}; found a {node.kind} node{hint}")
    return [node for node in reader.nodes if isinstance(node, WorkflowNode)]


def _reject(node: NodeBase, message: str) -> None:
    node.report.error(node.header, node.header.tokens[0].column, message)


def _raise_problems(reader: Reader) -> None:
    if reader.report.errors.problems:
        raise ConfigurationError(reader.report.errors.problems)


def is_empty_on_purpose(text: str) -> bool:
    """Whether a text has a comment and nothing else, which says that there shall be nothing; an empty one does not."""
    lines = [line for line in map(str.strip, text.removeprefix("\ufeff").splitlines()) if line]
    return bool(lines) and all(line.startswith("#") for line in lines)
