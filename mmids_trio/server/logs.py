"""Where log lines go: a readable console, and JSON lines in files that roll every hour.

Apart from everything else because it sets up what is global in the process (structlog, the root logger).  What a line
may hold, how often it may come and how much is kept are modules of their own.  Only `server` and `cli` import it;
everybody else says `structlog.get_logger()` and binds what a line is about (workflow, step_id, stream, connection,
request_id) with `structlog.contextvars`.  A JSON line costs about 180 µs, so nothing that happens per packet is ever
logged.
"""

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import structlog
from attrs import define, field
from structlog.stdlib import ProcessorFormatter
from structlog.typing import Processor

from mmids_trio.config.settings import Settings
from mmids_trio.errors import MmidsError
from mmids_trio.outside_values import OutsideValues
from mmids_trio.server.log_files import BoundedLogFiles, LogFileCounts
from mmids_trio.server.log_lines import HideOutside, make_fit
from mmids_trio.server.log_recent import RecentHandler, RecentLines
from mmids_trio.server.log_repeats import LogRepeats, OncePerRecord

LEVEL_VARIABLES = ("MMIDS_LOG", "mmids_log")
"""The environment variables of which the first that is set says the level; the second is the original's name."""

LEVELS: Mapping[str, int] = {
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": logging.DEBUG,
}
DEFAULT_LEVEL = "info"

FILE_NAME = "mmids.log"
KEPT_FILES = 7 * 24
"""Hours whose files are kept: a week, so that a Monday can look at the whole weekend."""


@define(eq=False, kw_only=True)
class Logging:
    """The bounds of a log, and what they have kept out of it."""

    max_bytes: int = Settings().log_max_bytes
    """Of all files of the server's log together."""
    repeats: LogRepeats = field(factory=lambda: LogRepeats(Settings().log_repeats_per_second))
    files: LogFileCounts = field(factory=LogFileCounts)
    outside: OutsideValues = field(factory=OutsideValues)
    """What no line may show."""
    recent: RecentLines = field(factory=RecentLines)
    """The newest lines."""

    @classmethod
    def of(cls, settings: Settings) -> "Logging":
        """As the settings want it."""
        return cls(max_bytes=settings.log_max_bytes, repeats=LogRepeats(settings.log_repeats_per_second))


class LoggingError(MmidsError):
    """Logging cannot be set up as asked."""


def level_from(environment: Mapping[str, str], default: str = DEFAULT_LEVEL) -> int:
    """The level that `MMIDS_LOG` asks for, as a number of `logging`; the default when it is unset, empty or unknown."""
    return LEVELS.get(environment.get(_variable(environment), "").lower(), LEVELS[default])


def warn_of_unknown_level(environment: Mapping[str, str]) -> None:
    """Log that `MMIDS_LOG` asks for what there is not, if it does; the accepted values are named."""
    variable = _variable(environment)
    name = environment.get(variable, "")
    if name and name.lower() not in LEVELS:
        structlog.get_logger().warning("unknown log level", variable=variable, value=name, accepted=list(LEVELS))


def _variable(environment: Mapping[str, str]) -> str:
    """The spelling that says something."""
    return next((name for name in LEVEL_VARIABLES if environment.get(name)), LEVEL_VARIABLES[0])


@contextmanager
def configure(
    *,
    level: int,
    directory: Path | None,
    console: TextIO,
    form: str = "text",
    bounds: Logging | None = None,
) -> Iterator[Logging]:
    """Log from `level` on to `console`, and to `mmids.log` in `directory` (made if need be) if given.

    `form` is what the console gets: `text` to read, `json` as in the file, or `none`. Lines of libraries that use
    `logging` go the same way. The value is `bounds`, which counts. On leaving, all is as it was before and the
    files are closed; `console` stays open. Give it a stream that can write any character, as `sys.stderr` can.
    Raises `LoggingError` when the directory cannot be written.
    """
    bounds = bounds or Logging()
    shared = _shared_processors(bounds.outside)
    handlers: list[logging.Handler] = [] if form == "none" else [_console_handler(console, form, shared)]
    if directory is not None:
        handlers.append(_file_handler(directory, shared, bounds))
    handlers.append(_recent_handler(shared, bounds.recent))
    once = OncePerRecord(bounds.repeats)
    with ExitStack() as undo:
        for handler in handlers:
            handler.addFilter(once)
            undo.callback(handler.close)
        _attach(handlers, level, undo)
        _quieten_libraries(undo)
        _point_structlog_at_logging(
            [structlog.contextvars.merge_contextvars, bounds.repeats.drop_repeats, *shared], level, undo
        )
        undo.callback(bounds.repeats.tell)
        undo.callback(setattr, sys, "unraisablehook", sys.unraisablehook)
        sys.unraisablehook = partial(_say_unraisable, sys.unraisablehook)
        yield bounds


def _say_unraisable(usual: Callable[[Any], object], found: Any) -> None:
    """Has Python itself say nothing of a TLS client that names its host by bytes that are no text: anybody could fill
    the console with that. The connection's own line says that the handshake has failed."""
    if not (isinstance(found.exc_value, UnicodeDecodeError) and isinstance(found.object, bytes)):
        usual(found)


def _shared_processors(outside: OutsideValues) -> list[Processor]:
    """What every line goes through that is written, whether it comes from structlog or from `logging`."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,  # plain tracebacks: those with local variables show secrets
        HideOutside(outside),
        make_fit,
    ]


def _formatter(shared: list[Processor], *renderers: Processor) -> ProcessorFormatter:
    return ProcessorFormatter(
        foreign_pre_chain=shared, processors=[ProcessorFormatter.remove_processors_meta, *renderers]
    )


def _console_handler(console: TextIO, form: str, shared: list[Processor]) -> logging.Handler:
    renderer: Processor = structlog.processors.JSONRenderer()
    if form == "text":
        renderer = structlog.dev.ConsoleRenderer(
            colors=console.isatty(),
            repr_native_str=True,  # quoted and escaped
            exception_formatter=structlog.dev.plain_traceback,
        )
    handler = logging.StreamHandler(console)
    handler.setFormatter(_formatter(shared, renderer))
    return handler


def _recent_handler(shared: list[Processor], recent: RecentLines) -> logging.Handler:
    handler = RecentHandler(recent)
    handler.setFormatter(_formatter(shared, structlog.processors.JSONRenderer()))
    return handler


def _file_handler(directory: Path, shared: list[Processor], bounds: Logging) -> logging.Handler:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handler = BoundedLogFiles(
            directory / FILE_NAME, kept=KEPT_FILES, max_bytes=bounds.max_bytes, counts=bounds.files
        )
    except OSError as error:
        raise LoggingError(
            f"cannot write logs to {directory}: {error.strerror}; the setting log_path names the directory"
        ) from error
    handler.setFormatter(_formatter(shared, structlog.processors.JSONRenderer()))
    return handler


TOO_TALKATIVE = {
    "trio.serve_listeners": logging.CRITICAL,  # a traceback ten times a second where there are no descriptors left
    "coredis": logging.CRITICAL,  # a traceback for each connection to a Redis that is away
    "httpx2": logging.WARNING,  # a line for each question of a reactor
}
"""Loggers of libraries, and from which level on they are heard."""


def _quieten_libraries(undo: ExitStack) -> None:
    for name, level in TOO_TALKATIVE.items():
        logger = logging.getLogger(name)
        undo.callback(logger.setLevel, logger.level)
        logger.setLevel(level)


def _attach(handlers: list[logging.Handler], level: int, undo: ExitStack) -> None:
    root = logging.getLogger()
    undo.callback(root.setLevel, root.level)
    root.setLevel(level)
    for handler in handlers:
        undo.callback(root.removeHandler, handler)
        root.addHandler(handler)


def _point_structlog_at_logging(shared: list[Processor], level: int, undo: ExitStack) -> None:
    if structlog.is_configured():
        undo.callback(structlog.configure, **structlog.get_config())
    else:
        undo.callback(structlog.reset_defaults)
    structlog.configure(
        processors=[*shared, ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # a cached logger would outlive the undo
    )
