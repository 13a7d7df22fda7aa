"""The pages and examples as the tests of the documentation see them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mmids_trio.config.parser import Document
from mmids_trio.config.settings import Settings
from mmids_trio.reload.configuration_file import Kinds
from mmids_trio.server.building import build_server
from mmids_trio.steps.registry import StepRegistry

ROOT = Path(__file__).parents[2]


@pytest.fixture
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture
def steps() -> StepRegistry:
    """The kinds of steps that a server knows."""
    return build_server(Settings()).steps


@pytest.fixture
def kinds() -> Callable[[Document], Kinds]:
    """What a configuration may name, as the program says it."""
    return lambda document: build_server(Settings(), document.reactors, cluster=document.cluster)
