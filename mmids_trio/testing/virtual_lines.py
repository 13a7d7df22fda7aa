"""Log lines of a test in virtual time say when they were written, on the clock of the test.

Apart from the harness because it is structlog's list of processors that is changed, in place, as `capture_logs` does.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import trio
from structlog.typing import EventDict, WrappedLogger
from trio._core import _run
from trio.testing import MockClock

FIELD = "virtual_s"
"""Under this name a line has the time, in seconds."""


def _stamp(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    if trio.lowlevel.in_trio_run():  # it may be written by a thread
        line.setdefault(FIELD, round(trio.current_time(), 3))
    return line


@contextmanager
def in_virtual_time_lines() -> Iterator[None]:
    """Lines that are written inside have the time of the mock clock; on any other clock nothing is added."""
    processors = structlog.get_config()["processors"]
    if _stamp in processors or not isinstance(_run.GLOBAL_RUN_CONTEXT.runner.clock, MockClock):
        yield
        return
    processors.insert(0, _stamp)
    try:
        yield
    finally:
        if _stamp in processors:  # not where somebody captures lines meanwhile
            processors.remove(_stamp)
