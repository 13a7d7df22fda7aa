"""A configuration file that tests write in memory."""

import trio
from attrs import evolve

from mmids_trio.config.parser import parse
from mmids_trio.config.settings import Settings
from mmids_trio.errors import ConfigurationError
from mmids_trio.reload.configuration_file import Configuration
from mmids_trio.server import build_server
from mmids_trio.testing.harness import Harness
from mmids_trio.workflow.status import WorkflowOwner

FILE = "mmids.config"


def configuration(text: str) -> Configuration:
    """What a reload reads. Raises `ConfigurationError`."""
    document = parse(text, FILE)
    if document.problems:
        raise ConfigurationError(document.problems)
    steps = build_server(Settings(), document.reactors).steps
    workflows = tuple(steps.validate(workflow) for workflow in document.workflows)
    return Configuration(FILE, evolve(document, workflows=workflows), document.settings, text)


class File:
    """A configuration file that a test writes."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.harness = Harness(text, load_again=self.load)

    def load(self) -> Configuration:
        """As a server reads it again."""
        return configuration(self.text)

    async def signal(self) -> str:
        """SIGHUP, to the end of what comes of it."""
        reloader = self.harness.server.reloader
        assert reloader is not None
        before = sum(reloader.results.values())
        reloader.request("signal")
        with trio.fail_after(60):
            while sum(reloader.results.values()) == before:
                await trio.lowlevel.checkpoint()
        assert reloader.last is not None
        return reloader.last.result

    def owner(self, name: str) -> WorkflowOwner | None:
        """Whose a workflow is."""
        return self.harness.server.workflows.owner(name)

    @property
    def running(self) -> list[str]:
        """Names of the workflows."""
        return list(self.harness.server.workflows.names())

    @property
    def last(self) -> tuple[str, str] | None:
        """By what the last reload was asked for, and what came of it."""
        reloader = self.harness.server.reloader
        assert reloader is not None
        return None if reloader.last is None else (reloader.last.by, reloader.last.result)
