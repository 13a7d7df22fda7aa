"""The set-up of logging: how lines look, where they go, what they never hold, and the undo."""

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from io import StringIO
from logging.handlers import TimedRotatingFileHandler
from pathlib import Path

import pytest
import structlog
import trio
from structlog.testing import capture_logs

from mmids_trio.errors import MmidsError
from mmids_trio.server.log_lines import fit
from mmids_trio.server.logs import FILE_NAME, KEPT_FILES, LoggingError, configure, level_from, warn_of_unknown_level

Configure = Callable[..., AbstractContextManager[None]]


class Terminal(StringIO):
    """A console that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def lines(directory: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (directory / FILE_NAME).read_text("utf-8").splitlines()]


def logged(directory: Path, act: Callable[[], object], level: int = logging.INFO) -> list[dict[str, object]]:
    """What `act` leaves in the file."""
    with configure(level=level, directory=directory, console=StringIO()):
        act()
    return lines(directory)


def shown(act: Callable[[], object], console: StringIO) -> str:
    """What `act` leaves on the console."""
    with configure(level=logging.INFO, directory=None, console=console):
        act()
    return console.getvalue()


def test_a_line_in_the_file_is_json_with_level_logger_and_time_in_utc(tmp_path: Path) -> None:
    [line] = logged(tmp_path, lambda: structlog.get_logger().info("port opened", port=1935))
    assert (line["event"], line["port"], line["level"]) == ("port opened", 1935, "info")
    assert line["logger"] == __name__
    assert str(line["timestamp"]).endswith("Z")


def test_a_line_on_the_console_is_readable_and_plain() -> None:
    text = shown(lambda: structlog.get_logger().info("port opened", port=1935, app="live"), StringIO())
    assert "port opened" in text
    assert "port=1935" in text
    assert "app='live'" in text
    assert "\x1b" not in text
    assert text.count("\n") == 1


def test_a_terminal_gets_colours() -> None:
    assert "\x1b[" in shown(lambda: structlog.get_logger().info("port opened"), Terminal())


async def test_lines_carry_what_their_task_has_bound(tmp_path: Path) -> None:
    async def work(workflow: str) -> None:
        structlog.contextvars.bind_contextvars(workflow=workflow, step_id="7")
        await trio.lowlevel.checkpoint()
        structlog.get_logger().info("step started")
        logging.getLogger("some.library").warning("careful")

    with configure(level=logging.INFO, directory=tmp_path, console=StringIO()):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work, "one")
            nursery.start_soon(work, "two")
        structlog.get_logger().info("all started")
    written = lines(tmp_path)
    assert sorted((line["event"], line["workflow"]) for line in written[:-1]) == [
        ("careful", "one"),
        ("careful", "two"),
        ("step started", "one"),
        ("step started", "two"),
    ]
    assert "workflow" not in written[-1]


def test_lines_of_other_libraries_look_the_same(tmp_path: Path) -> None:
    [line] = logged(tmp_path, lambda: logging.getLogger("some.library").warning("%d left", 3))
    assert (line["event"], line["level"], line["logger"]) == ("3 left", "warning", "some.library")
    assert set(line) == {"event", "level", "logger", "timestamp"}


def test_lines_below_the_level_are_left_out(tmp_path: Path) -> None:
    def act() -> None:
        structlog.get_logger().info("ours")
        logging.getLogger("some.library").info("theirs")
        structlog.get_logger().warning("kept")

    assert [line["event"] for line in logged(tmp_path, act, logging.WARNING)] == ["kept"]


def fail(log: Callable[[str], object]) -> None:
    password = "hunter2"
    try:
        raise ExceptionGroup("both", [ValueError(f"bad {len(password)}"), OSError("gone")])
    except ExceptionGroup:
        log("cannot go on")


@pytest.mark.parametrize("logger", [structlog.get_logger(), logging.getLogger("some.library")])
def test_an_exception_is_one_line_with_its_whole_group_and_no_local_variables(
    logger: logging.Logger, tmp_path: Path
) -> None:
    [line] = logged(tmp_path, lambda: fail(logger.exception))
    assert line["level"] == "error"
    assert "ValueError: bad 7" in str(line["exception"])
    assert "OSError: gone" in str(line["exception"])
    assert "hunter2" not in (tmp_path / FILE_NAME).read_text("utf-8")


def test_an_exception_on_the_console_is_a_plain_traceback() -> None:
    text = shown(lambda: fail(structlog.get_logger().exception), Terminal())
    assert "ValueError: bad 7" in text
    assert "hunter2" not in text


SECRETS: list[Mapping[str, object]] = [
    {"http_api_token": "hunter2"},
    {"tls_cert_password": "hunter2"},
    {"headers": {"Authorization": "Bearer hunter2", "accept": "*/*"}},
    {"stream_key": "talk?token=hunter2&x=hunter2"},
    {"target": "rtmp://hunter2:hunter2@host/app/key?auth=hunter2"},
    {"error": ValueError("no answer from http://host/lookup?key=hunter2")},
    {"arguments": ["-i", "http://host/?a=hunter2", b"key?hunter2"]},
]


@pytest.mark.parametrize("values", SECRETS, ids=lambda values: next(iter(values)))
def test_secrets_reach_neither_file_nor_console(values: Mapping[str, object], tmp_path: Path) -> None:
    console = StringIO()
    with configure(level=logging.INFO, directory=tmp_path, console=console):
        structlog.get_logger().info("asked", **values)
        logging.getLogger("some.library").info("asked with %s", "rtmp://host/app/key?hunter2")
    for text in (console.getvalue(), (tmp_path / FILE_NAME).read_text("utf-8")):
        assert text.count("asked") == 2
        assert "***" in text
        assert "hunter2" not in text


def test_a_query_in_a_traceback_is_masked(tmp_path: Path) -> None:
    def act() -> None:
        try:
            raise OSError("cannot reach " + "?".join(["rtmp://host/app/key", "hunter" + "2"]))
        except OSError:
            structlog.get_logger().exception("lost")

    [line] = logged(tmp_path, act)
    assert "rtmp://host/app/key?***" in str(line["exception"])
    assert "hunter2" not in str(line["exception"])


@pytest.mark.parametrize(
    "harmless",
    [
        "did you mean 'rtmp_receive'?",
        "really? yes",
        "rtmp://host/app/key",
        "a@b.example",
        "",
        7,
        1.5,
        True,
        None,
    ],
)
def test_what_is_no_secret_stays(harmless: object) -> None:
    assert fit(harmless) == harmless


def test_a_peer_cannot_steer_the_terminal_or_forge_a_line() -> None:
    def act() -> None:
        structlog.get_logger().info("key refused", stream_key="\x1b[2J\nforged")
        logging.getLogger("some.library").info("odd \x1b[2J\rpath")

    text = shown(act, StringIO())
    assert "\x1b" not in text
    assert "\r" not in text
    assert text.count("\n") == 2


def test_names_that_are_not_text_can_be_logged(tmp_path: Path) -> None:
    [line] = logged(tmp_path, lambda: structlog.get_logger().info("key refused", stream_key="\udcff", raw=b"\xff"))
    assert line["stream_key"] == "\udcff"
    assert line["raw"] == "b'\\xff'"


def test_files_roll_every_hour_in_utc_and_a_week_of_them_is_kept(tmp_path: Path) -> None:
    with configure(level=logging.INFO, directory=tmp_path, console=StringIO()):
        [handler] = [h for h in logging.getLogger().handlers if isinstance(h, TimedRotatingFileHandler)]
        assert handler.interval == 3600
        assert handler.utc
        assert handler.backupCount == KEPT_FILES == 168
        structlog.get_logger().info("before")
        handler.doRollover()
        structlog.get_logger().info("after")
    assert [line["event"] for line in lines(tmp_path)] == ["after"]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_second_start_appends_to_the_file(tmp_path: Path) -> None:
    logged(tmp_path, lambda: structlog.get_logger().info("first"))
    assert [line["event"] for line in logged(tmp_path, lambda: structlog.get_logger().info("second"))] == [
        "first",
        "second",
    ]


def test_a_directory_that_is_not_there_is_made(tmp_path: Path) -> None:
    logged(tmp_path / "var" / "logs", lambda: None)
    assert (tmp_path / "var" / "logs" / FILE_NAME).exists()


def test_a_directory_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where the directory should be")
    handlers = list(logging.getLogger().handlers)
    with (
        pytest.raises(LoggingError, match=r"cannot write logs to .*logs: File exists; the setting log_path"),
        configure(level=logging.INFO, directory=tmp_path / "logs", console=StringIO()),
    ):
        pytest.fail("configured all the same")
    assert logging.getLogger().handlers == handlers
    assert issubclass(LoggingError, MmidsError)


def test_the_console_may_have_what_the_file_has(tmp_path: Path) -> None:
    console = StringIO()
    with configure(level=logging.INFO, directory=tmp_path, console=console, form="json"):
        structlog.get_logger().info("port opened", port=1935)
        logging.getLogger("some.library").warning("odd")
    shown, kept = [json.loads(line) for line in console.getvalue().splitlines()], lines(tmp_path)
    for line in (*shown, *kept):
        assert str(line.pop("timestamp")).endswith("Z")
    assert shown == kept
    assert [line["event"] for line in shown] == ["port opened", "odd"]


def test_nothing_is_written_where_nothing_is_wanted(capfd: pytest.CaptureFixture[str]) -> None:
    console = StringIO()
    with configure(level=logging.INFO, directory=None, console=console, form="none"):
        structlog.get_logger().error("step failed")
        logging.getLogger("some.library").error("odd")
    assert (console.getvalue(), *capfd.readouterr()) == ("", "", "")


def test_leaving_puts_everything_back(tmp_path: Path) -> None:
    root = logging.getLogger()
    before = (list(root.handlers), root.level, structlog.get_config())
    console = StringIO()
    with configure(level=logging.DEBUG, directory=tmp_path, console=console):
        ours = [handler for handler in root.handlers if handler not in before[0]]
        assert len(ours) == 3
    assert (list(root.handlers), root.level, structlog.get_config()) == before
    assert not console.closed
    logging.getLogger("some.library").error("after the end")
    assert lines(tmp_path) == []


def test_leaving_puts_back_a_configuration_that_was_there_before() -> None:
    outer, inner = StringIO(), StringIO()
    with configure(level=logging.INFO, directory=None, console=outer):
        with configure(level=logging.INFO, directory=None, console=inner):
            structlog.get_logger().info("within")
        structlog.get_logger().info("outside")
    assert "outside" in outer.getvalue()
    assert "outside" not in inner.getvalue()
    assert "within" in inner.getvalue()


@pytest.mark.parametrize(
    ("environment", "level"),
    [
        ({}, logging.INFO),
        ({"MMIDS_LOG": ""}, logging.INFO),
        ({"MMIDS_LOG": "error"}, logging.ERROR),
        ({"MMIDS_LOG": "warn"}, logging.WARNING),
        ({"MMIDS_LOG": "warning"}, logging.WARNING),
        ({"MMIDS_LOG": "info"}, logging.INFO),
        ({"MMIDS_LOG": "DEBUG"}, logging.DEBUG),
        ({"MMIDS_LOG": "Trace"}, logging.DEBUG),
        ({"MMIDS_LOG": "loud"}, logging.INFO),
        ({"mmids_log": "debug"}, logging.DEBUG),
        ({"MMIDS_LOG": "", "mmids_log": "debug"}, logging.DEBUG),
        ({"MMIDS_LOG": "error", "mmids_log": "debug"}, logging.ERROR),
    ],
)
def test_the_level_comes_from_the_environment(environment: dict[str, str], level: int) -> None:
    assert level_from(environment) == level


def test_an_unknown_level_is_warned_of_with_the_accepted_ones() -> None:
    with capture_logs() as logged:
        for value in ("", "debug", "TRACE", "loud"):
            warn_of_unknown_level({"mmids_log": value})
    [warning] = logged
    assert (warning["event"], warning["variable"], warning["value"]) == ("unknown log level", "mmids_log", "loud")
    assert warning["accepted"] == ["error", "warn", "warning", "info", "debug", "trace"]
