"""Reading a configuration file, with everything that is wrong with it found at once."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from attrs import evolve, frozen

from mmids_trio.config.encoding import decode
from mmids_trio.config.parser import Document
from mmids_trio.config.report import Findings
from mmids_trio.config.settings import Settings
from mmids_trio.config.writer import write_values
from mmids_trio.errors import ConfigurationError, MmidsError, Problem
from mmids_trio.reactors.executor import ExecutorRegistry
from mmids_trio.reload.source_files import (
    ReadFile,
    SourceFile,
    SourceReader,
    given_values,
    repeated,
    sendable,
    variables_in,
)
from mmids_trio.steps.registry import StepRegistry

MAX_FILE_BYTES = 64 * 1024 * 1024
"""Largest configuration file: ten times what 10,000 workflows need."""


class UnreadableFile(MmidsError):
    """The configuration file cannot be read; the message says which and why."""


@frozen
class Configuration:
    """A configuration that may run: valid, with the steps in canonical spellings and paths made absolute."""

    file: str
    document: Document
    settings: Settings
    text: str = ""
    """What stands in the file, and in those that it includes; before it, what the variables in them are."""
    values: tuple[str, ...] = ()
    """What came from outside of the files: secrets."""
    patterns: tuple[str, ...] = ()
    """Absolute paths, and patterns of such, of everything that was read or looked for."""


class Kinds(Protocol):
    """What a configuration may name."""

    @property
    def steps(self) -> StepRegistry:
        """Kinds of steps."""

    @property
    def executors(self) -> ExecutorRegistry:
        """Kinds of executors of reactors."""


def load(
    path: Path,
    kinds: Callable[[Document], Kinds],
    *,
    is_strict: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> Configuration:
    """Read and check a configuration file; `kinds` says what it may name, given what it defines.

    Unknown settings are errors where the file says `strict_settings true`, or `is_strict`.

    Raises `UnreadableFile`, or `ConfigurationError` with every problem of syntax and steps that a report lists.
    """
    reader = SourceReader(environment, MAX_FILE_BYTES)
    read = reader.read([SourceFile(str(path), decode(_read(path), str(path)), path.parent)])
    document = _together(read, [*reader.problems])
    known = kinds(document)
    findings = Findings(list(document.problems))
    if is_strict or document.settings.strict_settings:
        for problem in document.unknown_settings:
            findings.add(problem.place, problem.message)
    for reactor in document.reactors:
        for problem in known.executors.problems(reactor):
            findings.add(problem.place, problem.message)
    for workflow in document.workflows:
        known.steps.check(workflow, findings)
    if findings.problems:
        raise ConfigurationError(findings.problems)
    workflows = tuple(known.steps.validate(workflow) for workflow in document.workflows)
    warnings = Findings([*document.warnings])
    for workflow in document.workflows:
        for problem in known.steps.warnings(workflow):
            warnings.add(problem.place, problem.message)
    return Configuration(
        str(path),
        evolve(document, workflows=workflows, warnings=warnings.in_order()),
        with_absolute_paths(document.settings, path.parent),
        _text(read),
        tuple(dict.fromkeys(variable.value for variable in variables_in(read))),
        (str(path.absolute()), *dict.fromkeys(reader.patterns)),
    )


def _together(read: Sequence[ReadFile], problems: list[Problem]) -> Document:
    """What all files say; the settings stand in one of them."""
    documents = [each.document for each in read]
    first, *others = [document for document in documents if document.settings_place] or documents[:1]
    for other in others:
        assert other.settings_place is not None
        if first.settings_place is not None:
            where = f"{first.settings_place.file}:{first.settings_place.line}"
            problems.append(Problem(other.settings_place, f"a second settings node (first in {where})"))

    clusters = [document.cluster for document in documents if document.cluster is not None]
    for cluster in clusters[1:]:
        if cluster.place is not None:
            problems.append(Problem(cluster.place, "a second cluster node; a server is in one cluster"))
    return Document(
        first.settings,
        tuple(reactor for document in documents for reactor in document.reactors),
        tuple(workflow for document in documents for workflow in document.workflows),
        (*_all(document.problems for document in documents), *repeated(documents), *problems),
        _all(document.warnings for document in documents),
        _all(document.unknown_settings for document in documents),
        settings_place=first.settings_place,
        setting_places=first.setting_places,
        webhooks=tuple(webhook for document in documents for webhook in document.webhooks),
        cluster=clusters[0] if clusters else None,
    )


def _all(problems: Iterable[Sequence[Problem]]) -> tuple[Problem, ...]:
    return tuple(problem for some in problems for problem in some)


def _text(read: Sequence[ReadFile]) -> str:
    values = given_values(read)
    if len(read) == 1 and not values:
        return read[0].source.text
    return (write_values(values) if values else "") + "\n".join(sendable(read, with_settings=True))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        hint = "; use --config FILE for another one" if isinstance(error, FileNotFoundError) else ""
        raise UnreadableFile(f"cannot read the configuration file {path}: {error.strerror}{hint}") from error
    if len(data) > MAX_FILE_BYTES:
        raise UnreadableFile(f"the configuration file {path} is larger than {MAX_FILE_BYTES // 1024**2} MiB")
    return data


def with_absolute_paths(settings: Settings, directory: Path) -> Settings:
    """Relative paths are relative to the configuration file."""

    def whole(path: str) -> str:
        return str((directory / path).resolve())

    def absolute(path: str | None) -> str | None:
        return None if path is None else whole(path)

    return evolve(
        settings,
        ffmpeg_path=absolute(settings.ffmpeg_path),
        tls_cert_path=absolute(settings.tls_cert_path),
        tls_key_path=absolute(settings.tls_key_path),
        tls_more_certs=tuple((whole(certificate), absolute(key)) for certificate, key in settings.tls_more_certs),
        http_api_tokens_path=absolute(settings.http_api_tokens_path),
        log_path=absolute(settings.log_path),
        state_path=absolute(settings.state_path),
    )
