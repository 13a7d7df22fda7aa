"""Where log lines go: a readable console, and JSON lines in files that roll every hour.

Apart from everything else because it sets up what is global in the process (structlog, the root logger).
Only `app` and `cli` import it; everybody else says `structlog.get_logger()` and binds what a line is about
(workflow, step_id, stream, connection, request_id) with `structlog.contextvars`.  A JSON line costs about
180 µs, so nothing that happens per packet is ever logged.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from logging.handlers import TimedRotatingFileHandler
from pathlib import Path
from typing import TextIO

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from mmids_trio.errors import MmidsError
from mmids_trio.masking import HIDDEN, names_a_secret

LEVEL_VARIABLE = "mmids_log"
"""The environment variable that sets the level; the name is the original's."""

LEVELS: Mapping[str, int] = {
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}
DEFAULT_LEVEL = "info"

FILE_NAME = "mmids.log"
KEPT_FILES = 7 * 24
"""Rolled files that are kept, one an hour: a week, so that a Monday can look at the whole weekend."""

_QUERY = re.compile(r"(?<=[^\s?])\?[^\s?\"'<>)]+")
_USER_INFO = re.compile(r"(?<=://)[^/\s@]+@")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_FORMATTER_KEYS = frozenset({"_record", "_from_structlog"})


class LoggingError(MmidsError):
    """Logging cannot be set up as asked."""


def level_from(environment: Mapping[str, str]) -> int:
    """The level that `mmids_log` asks for, as a number of `logging`; info when it is unset or empty.

    Raises `LoggingError`, which lists the accepted values, for any other.
    """
    name = environment.get(LEVEL_VARIABLE) or DEFAULT_LEVEL
    try:
        return LEVELS[name.lower()]
    except KeyError:
        raise LoggingError(
            f"unknown log level {name!r} in the environment variable {LEVEL_VARIABLE}; accepted: {', '.join(LEVELS)}"
        ) from None


@contextmanager
def configure(*, level: int, directory: Path | None, console: TextIO) -> Iterator[None]:
    """Log from `level` on to `console`, and to `mmids.log` in `directory` (made if need be) if given.

    Lines of libraries that use `logging` go the same way.  On leaving, all is as it was before and the files
    are closed; `console` stays open.  Give it a stream that can write any character, as `sys.stderr` can.
    Raises `LoggingError` when the directory cannot be written.
    """
    shared = _shared_processors()
    handlers = [_console_handler(console, shared)]
    if directory is not None:
        handlers.append(_file_handler(directory, shared))
    with ExitStack() as undo:
        for handler in handlers:
            undo.callback(handler.close)
        _attach(handlers, level, undo)
        _quieten_libraries(undo)
        _point_structlog_at_logging(shared, level, undo)
        yield


def mask(value: object) -> object:
    """`value` fit for a log: without query strings, users of URLs, and what stands under a secret's name.

    Containers are searched; numbers stay; whatever else is no string becomes its `str`.
    """
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return _USER_INFO.sub(f"{HIDDEN}@", _QUERY.sub(f"?{HIDDEN}", value))
        case Mapping():
            return {str(name): mask_named(str(name), inner) for name, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [mask(inner) for inner in value]
        case _:
            return mask(str(value))


def mask_named(name: str, value: object) -> object:
    """`mask` for a value with a name: all of it goes when the name says that it is a secret."""
    return HIDDEN if value is not None and names_a_secret(name) else mask(value)


def _mask_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {name: value if name in _FORMATTER_KEYS else mask_named(name, value) for name, value in event.items()}


def _escape_controls(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Peers choose parts of what is logged; none of it may steer the operator's terminal."""
    for name in ("event", "exception"):
        if name in event:
            event[name] = _CONTROL.sub(lambda match: repr(match[0])[1:-1], str(event[name]))
    return event


def _shared_processors() -> list[Processor]:
    """What every line goes through, whether it comes from structlog or from `logging`."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,  # plain tracebacks: those with local variables show secrets
        _mask_secrets,
    ]


def _formatter(shared: list[Processor], *renderers: Processor) -> ProcessorFormatter:
    return ProcessorFormatter(
        foreign_pre_chain=shared, processors=[ProcessorFormatter.remove_processors_meta, *renderers]
    )


def _console_handler(console: TextIO, shared: list[Processor]) -> logging.Handler:
    renderer = structlog.dev.ConsoleRenderer(
        colors=console.isatty(),
        repr_native_str=True,  # quoted and escaped, see _escape_controls
        exception_formatter=structlog.dev.plain_traceback,
    )
    handler = logging.StreamHandler(console)
    handler.setFormatter(_formatter(shared, _escape_controls, renderer))
    return handler


def _file_handler(directory: Path, shared: list[Processor]) -> logging.Handler:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handler = TimedRotatingFileHandler(
            directory / FILE_NAME, when="H", backupCount=KEPT_FILES, encoding="utf-8", utc=True
        )
    except OSError as error:
        raise LoggingError(
            f"cannot write logs to {directory}: {error.strerror}; the setting log_path names the directory"
        ) from error
    handler.setFormatter(_formatter(shared, structlog.processors.JSONRenderer()))
    return handler


TOO_TALKATIVE = {
    "trio.serve_listeners": logging.CRITICAL,  # a traceback ten times a second where there are no descriptors left
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
