"""A configuration file that tests write in memory."""

from attrs import evolve

from mmids_trio.config.parser import parse
from mmids_trio.config.settings import Settings
from mmids_trio.errors import ConfigurationError
from mmids_trio.reload.configuration_file import Configuration
from mmids_trio.server import build_server

FILE = "mmids.config"


def configuration(text: str) -> Configuration:
    """What a reload reads. Raises `ConfigurationError`."""
    document = parse(text, FILE)
    if document.problems:
        raise ConfigurationError(document.problems)
    steps = build_server(Settings(), document.reactors).steps
    workflows = tuple(steps.validate(workflow) for workflow in document.workflows)
    return Configuration(FILE, evolve(document, workflows=workflows), document.settings, text)
