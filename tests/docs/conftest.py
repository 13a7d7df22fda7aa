"""The pages and examples as the tests of the documentation see them."""

from pathlib import Path

import pytest

from mmids_trio.app import Server
from mmids_trio.config.settings import Settings
from mmids_trio.steps.registry import StepRegistry

ROOT = Path(__file__).parents[2]


@pytest.fixture
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture
def steps() -> StepRegistry:
    """The kinds of steps that a server knows."""
    return Server(Settings()).steps
