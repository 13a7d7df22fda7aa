"""What is wrong with texts of configuration by themselves: with each, and with all of them together."""

from collections.abc import Mapping, Sequence
from functools import partial

import trio
from attrs import evolve, frozen

from mmids_trio.cli.client.files import MAX_TEXT_BYTES
from mmids_trio.cli.known_kinds import KnownKinds
from mmids_trio.config.parser import Document
from mmids_trio.config.report import Findings
from mmids_trio.config.settings import Settings
from mmids_trio.definitions import WorkflowDefinition
from mmids_trio.errors import ConfigurationError, Problem
from mmids_trio.ffmpeg.executable import Places, find_ffmpeg
from mmids_trio.ffmpeg.spawning import SystemSpawner
from mmids_trio.outside_values import OutsideValues
from mmids_trio.reload.configuration_file import with_absolute_paths
from mmids_trio.reload.source_files import ReadFile, SourceFile, SourceReader, repeated, variables_in
from mmids_trio.server.lacks import Machine
from mmids_trio.steps.conflicts import conflicts


@frozen
class Checked:
    """What texts define, and what is wrong with them. `workflows` are those that are valid."""

    read: tuple[ReadFile, ...]
    workflows: tuple[WorkflowDefinition, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()
    """What of the texts is ignored, or may not be what was meant, and is no error."""


def check_texts(
    sources: Sequence[SourceFile],
    environment: Mapping[str, str] | None = None,
    known_kinds: KnownKinds | None = None,
) -> Checked:
    """Check texts that are one configuration together, with what they include.

    Without `environment` nothing comes from outside of them. `known_kinds`: with the modules that the texts name, they
    are what there is; without, no module is loaded. Raises `NameTaken`.
    """
    reader = SourceReader(environment, MAX_TEXT_BYTES)
    read = reader.read(sources)
    documents = [each.document for each in read]
    outside = OutsideValues()
    outside.add(variable.value for variable in variables_in(read))
    reactors = tuple(reactor for document in documents for reactor in document.reactors)
    cluster = next((document.cluster for document in documents if document.cluster is not None), None)
    problems: list[Problem] = []
    warnings: list[Problem] = []
    workflows: list[WorkflowDefinition] = []
    kinds = known_kinds or KnownKinds()
    for document in () if known_kinds is None else documents:
        try:
            kinds.load_named_by(document)
        except ConfigurationError as error:
            problems += error.problems
    for document in documents:
        known = kinds(evolve(document, reactors=reactors, cluster=cluster))
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
    problems += conflicts(workflows, next((each.settings for each in documents if each.settings_place), None))
    return Checked(tuple(read), tuple(workflows), _hidden(problems, outside), _hidden(warnings, outside))


def check_here(checked: Checked) -> tuple[Problem, ...]:
    """What this machine lacks for what was checked; relative paths in settings start at their file."""
    source, document = next(
        ((each.source, each.document) for each in checked.read if each.document.settings_place),
        (SourceFile("", ""), Document(Settings(), (), (), (), ())),
    )
    settings = with_absolute_paths(document.settings, source.directory)
    check_ffmpeg = partial(find_ffmpeg, Places(settings.ffmpeg_path), SystemSpawner(proxy=settings.ffmpeg_proxy))
    machine = Machine(settings, check_ffmpeg, places=document.setting_places)
    outside = OutsideValues()
    outside.add(variable.value for variable in variables_in(checked.read))
    return _hidden(trio.run(machine.lacks, checked.workflows), outside)


def _hidden(problems: Sequence[Problem], outside: OutsideValues) -> tuple[Problem, ...]:
    return tuple(evolve(problem, message=outside.hide(problem.message)) for problem in problems)
