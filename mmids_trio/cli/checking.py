"""What is wrong with texts of configuration by themselves: with each, and with all of them together."""

from collections.abc import Mapping, Sequence

from attrs import evolve, frozen

from mmids_trio.cli.client.files import MAX_TEXT_BYTES
from mmids_trio.cli.serving import kinds
from mmids_trio.config.parser import Document
from mmids_trio.config.report import Findings
from mmids_trio.definitions import WorkflowDefinition
from mmids_trio.errors import ConfigurationError, Problem
from mmids_trio.outside_values import OutsideValues
from mmids_trio.reload.source_files import SourceFile, SourceReader, repeated, variables_in
from mmids_trio.steps.conflicts import conflicts


@frozen
class Checked:
    """What texts define, and what is wrong with them."""

    documents: tuple[Document, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()
    """What of the texts is ignored, or may not be what was meant, and is no error."""


def check_texts(sources: Sequence[SourceFile], environment: Mapping[str, str] | None = None) -> Checked:
    """Check texts that are one configuration together, with what they include.

    Without `environment` nothing comes from outside of them.
    """
    reader = SourceReader(environment, MAX_TEXT_BYTES)
    read = reader.read(sources)
    documents = [each.document for each in read]
    outside = OutsideValues()
    outside.add(variable.value for variable in variables_in(read))
    reactors = tuple(reactor for document in documents for reactor in document.reactors)
    problems: list[Problem] = []
    warnings: list[Problem] = []
    workflows: list[WorkflowDefinition] = []
    for document in documents:
        known = kinds(evolve(document, reactors=reactors))
        findings = Findings([*document.problems, *document.unknown_settings])
        warned = Findings([each for each in document.warnings if each not in document.unknown_settings])
        for reactor in document.reactors:
            for problem in known.executors.problems(reactor):
                findings.add(problem.place, problem.message)
        for workflow in document.workflows:
            known.steps.check(workflow, findings)
            for problem in known.steps.warnings(workflow):
                warned.add(problem.place, problem.message)
            try:
                workflows.append(known.steps.validate(workflow))
            except ConfigurationError:
                continue  # its problems are among the findings
        problems += findings.in_order()
        warnings += warned.in_order()
    problems += (*reader.problems, *repeated(documents))
    problems += conflicts(workflows)
    return Checked(tuple(documents), _hidden(problems, outside), _hidden(warnings, outside))


def _hidden(problems: Sequence[Problem], outside: OutsideValues) -> tuple[Problem, ...]:
    return tuple(evolve(problem, message=outside.hide(problem.message)) for problem in problems)
