"""Reading a configuration file, with everything that is wrong with it found at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from attrs import evolve, frozen

from mmids_trio.config.encoding import decode
from mmids_trio.config.parser import Document, parse
from mmids_trio.config.report import Findings
from mmids_trio.config.settings import Settings
from mmids_trio.errors import ConfigurationError, MmidsError
from mmids_trio.reactors.executor import ExecutorRegistry
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
    """As it stands in the file."""


class Kinds(Protocol):
    """What a configuration may name."""

    @property
    def steps(self) -> StepRegistry:
        """Kinds of steps."""

    @property
    def executors(self) -> ExecutorRegistry:
        """Kinds of executors of reactors."""


def load(path: Path, kinds: Callable[[Document], Kinds], *, is_strict: bool = False) -> Configuration:
    """Read and check a configuration file; `kinds` says what it may name, given what it defines.

    Unknown settings are errors where the file says `strict_settings true`, or `is_strict`.

    Raises `UnreadableFile`, or `ConfigurationError` with every problem of syntax and steps that a report lists.
    """
    text = read_text(path)
    document = parse(text, str(path))
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
    settings = _resolved(document.settings, path.parent)
    return Configuration(str(path), evolve(document, workflows=workflows, warnings=warnings.in_order()), settings, text)


def read_text(path: Path) -> str:
    """The text of a configuration file. Raises `UnreadableFile`, or `ConfigurationError` where it is not UTF-8."""
    return decode(_read(path), str(path))


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


def _resolved(settings: Settings, directory: Path) -> Settings:
    """Relative paths are relative to the configuration file."""

    def absolute(path: str | None) -> str | None:
        return None if path is None else str((directory / path).resolve())

    return evolve(
        settings,
        ffmpeg_path=absolute(settings.ffmpeg_path),
        tls_cert_path=absolute(settings.tls_cert_path),
        tls_key_path=absolute(settings.tls_key_path),
        log_path=str((directory / settings.log_path).resolve()),
        state_path=absolute(settings.state_path),
    )
