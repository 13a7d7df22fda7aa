"""What a machine lacks that workflows need: found without running any of them, or making a directory.

Apart from the steps, which find the same when they start: one at a time, and too late for a plan.  It looks as they do:
for ffmpeg, at the certificate, at the rights of directories.  All of it may block, but for the search for ffmpeg.
"""

import os
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from attrs import field, frozen

from mmids_trio.config.settings import Settings
from mmids_trio.definitions import StepDefinition, WorkflowDefinition
from mmids_trio.errors import Place, Problem, StepError
from mmids_trio.ffmpeg.locations import is_file
from mmids_trio.net.certificates import CertificateError, CertificateFiles, check_files
from mmids_trio.offload import Offload, in_thread

NEEDS_FFMPEG = frozenset(
    {
        *("basic_transcode", "ffmpeg_hls", "ffmpeg_ladder", "ffmpeg_pull", "ffmpeg_push", "ffmpeg_transcode", "slate"),
    }
)
"""Steps of these types run it."""

READ = {"ffmpeg_pull": "location", "slate": "file"}
"""By type of step, the parameter that may name a file to read."""

WRITTEN = {"ffmpeg_hls": "path"}
"""By type of step, the parameter that names a directory to write to."""

NO_CERTIFICATE = "TLS needs a certificate, and the setting tls_cert_path names none"


@frozen
class Machine:
    """Where workflows are to run. `settings` have absolute paths; `places`: where each stands, if they are checked too.

    `check_ffmpeg` looks for it, and raises `StepError`.
    """

    settings: Settings
    check_ffmpeg: Callable[[], Awaitable[object]]
    places: Mapping[str, Place] = field(factory=dict)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    offload: Offload = in_thread

    async def lacks(self, workflows: Sequence[WorkflowDefinition]) -> list[Problem]:
        """What it lacks for these, validated ones."""
        steps = [step for workflow in workflows for step in workflow.steps if step.place is not None]
        found = await self.offload(lambda: list(self._look(steps)))
        users = [step.place for step in steps if step.step_type in NEEDS_FFMPEG and step.place is not None]
        place = self.places.get("ffmpeg_path") or next(iter(users), None)
        if place is not None:
            try:
                await self.check_ffmpeg()
            except StepError as error:
                found.append(Problem(place, str(error)))
        return sorted(found, key=lambda problem: problem.place.position)

    def _look(self, steps: Sequence[StepDefinition]) -> Iterator[Problem]:
        """All that blocks."""
        yield from self._certificate([step for step in steps if step.has_flag("rtmps") or step.has_flag("https")])
        for name, directory in (("log_path", self.settings.log_path), ("state_path", self._state_directory())):
            if name in self.places and directory is not None and (why := directory_problem(directory)):
                yield Problem(self.places[name], why)
        for step in steps:
            yield from _files(step)

    def _certificate(self, users: Sequence[StepDefinition]) -> Iterator[Problem]:
        of_settings = self.places.get("tls_cert_path") or self.places.get("tls_more_certs")
        if of_settings is None and self.settings.http_api_tls:
            of_settings = self.places.get("http_api_tls")
        place = of_settings or next((step.place for step in users), None)
        if place is None:
            return
        files = certificate_files(self.settings)
        if files is None:
            yield Problem(place, NO_CERTIFICATE)
            return
        for one in (files, *more_certificate_files(self.settings)):
            try:
                check_files(one, self.now(), allow_expired=self.settings.allow_expired_certificate)
            except CertificateError as error:
                yield Problem(place, str(error))

    def _state_directory(self) -> str | None:
        return None if self.settings.state_path is None else os.path.dirname(self.settings.state_path)


def written_directories(settings: Settings, workflows: Iterable[WorkflowDefinition | None]) -> Iterator[str]:
    """Where a server writes that runs these."""
    if settings.log_path is not None:
        yield settings.log_path
    if settings.state_path is not None:
        yield os.path.dirname(os.path.abspath(settings.state_path))
    for workflow in workflows:
        for step in workflow.steps if workflow is not None else ():
            written = WRITTEN.get(step.step_type)
            if written and (directory := step.parameters.get(written)):
                yield directory


def certificate_files(settings: Settings) -> CertificateFiles | None:
    """Those that the settings name, if they name any."""
    if settings.tls_cert_path is None:
        return None
    key = None if settings.tls_key_path is None else Path(settings.tls_key_path)
    return CertificateFiles(Path(settings.tls_cert_path), settings.tls_cert_password, key)


def more_certificate_files(settings: Settings) -> Sequence[CertificateFiles]:
    """Those for other names."""
    return [
        CertificateFiles(Path(certificate), settings.tls_cert_password, None if key is None else Path(key))
        for certificate, key in settings.tls_more_certs
    ]


def _files(step: StepDefinition) -> Iterable[Problem]:
    read, written = READ.get(step.step_type), WRITTEN.get(step.step_type)
    source = step.parameters.get(read) if read else None
    if read and source and is_file(source) and not (os.path.isfile(source) and os.access(source, os.R_OK)):
        yield _problem(step, read, f"the file '{source}' cannot be read")
    target = step.parameters.get(written) if written else None
    if written and target and (why := directory_problem(target)):
        yield _problem(step, written, why)


def _problem(step: StepDefinition, name: str, message: str) -> Problem:
    place = step.parameter_places.get(name) or step.place
    assert place is not None
    return Problem(place, f"{step.step_type}: {message}")


def directory_problem(path: str) -> str | None:
    """Why a directory cannot be had that can be written, `None` where it can: what is missing of it would be made."""
    there = os.path.abspath(path)
    while not os.path.lexists(there) and os.path.dirname(there) != there:
        there = os.path.dirname(there)
    if not os.path.isdir(there):
        return f"the directory '{path}' cannot be made: '{there}' is not a directory"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"the directory '{path}' cannot be {'written' if os.path.isdir(path) else 'made'}"
    return None
