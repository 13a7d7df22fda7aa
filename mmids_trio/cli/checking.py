"""What is wrong with texts of configuration by themselves: with each, and with all of them together."""

from collections.abc import Iterator, Mapping, Sequence

from attrs import evolve, frozen

from mmids_trio.cli.client.files import MAX_TEXT_BYTES
from mmids_trio.cli.serving import kinds
from mmids_trio.cli.welcome import port_of
from mmids_trio.config.parser import Document
from mmids_trio.config.report import Findings
from mmids_trio.definitions import StepDefinition, WorkflowDefinition
from mmids_trio.errors import ConfigurationError, Problem, RegistrationConflict
from mmids_trio.outside_values import OutsideValues
from mmids_trio.reload.source_files import SourceFile, SourceReader, repeated, variables_in
from mmids_trio.rtmp.server.registrations import Owner, Registration, Registrations, Role

ROLES = {"rtmp_receive": Role.PUBLISH, "rtmp_watch": Role.WATCH}
"""What steps of these types register."""


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


def conflicts(workflows: Sequence[WorkflowDefinition]) -> Iterator[Problem]:
    """Steps that want what an earlier one has: the same port, application and key, or the port with and without TLS."""
    taken: Registrations[None] = Registrations()
    for workflow in workflows:
        for number, step in enumerate(workflow.steps, 1):
            role = ROLES.get(step.step_type)
            if role is None or step.place is None:
                continue
            try:
                taken.commit(taken.reserve(_registration(role, step), Owner(workflow.name, str(number)), None))
            except RegistrationConflict as error:
                yield Problem(step.place, str(error))


def _registration(role: Role, step: StepDefinition) -> Registration:
    parameters = step.parameters
    app, key = parameters["rtmp_app"] or "", parameters["stream_key"] or ""
    return Registration(role, port_of(step), app, key, tls=step.has_flag("rtmps"))
