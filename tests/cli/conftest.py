"""What tests of commands share."""

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs


@pytest.fixture
def quiet_server() -> Iterator[None]:
    """The server is in the same process, and would print its log between the lines of a command."""
    with capture_logs():
        yield
