"""`check --here` adds what this machine lacks, without making or starting anything; `plan` has the same of a server."""

import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mmids_trio.cli.commands.check import check
from mmids_trio.ffmpeg.executable import Places
from mmids_trio.server.lacks import directory_problem
from mmids_trio.testing.harness import Harness
from tests.support.certificates import Made, make
from tests.support.commands import command

pytestmark = pytest.mark.usefixtures("quiet_server")

PLAIN = "workflow plain {\n    rtmp_receive rtmp_app=live stream_key=*\n}\n"
ENCRYPTED = "workflow encrypted {\n    rtmp_receive rtmp_app=live stream_key=* rtmps\n}\n"


def here(path: Path, text: str, **environment: str) -> Result:
    file = path / "w.mmids"
    file.write_text(text, "utf-8")
    return CliRunner(env=environment).invoke(check, ["--here", "--json", str(file)])


def problems(path: Path, text: str, **environment: str) -> list[tuple[int, int, str]]:
    """Line, column and message of each."""
    found = json.loads(here(path, text, **environment).output)["problems"]
    return [(each["line"], each["column"], each["message"]) for each in found]


def tls(path: Path, made: Made, password: str = "", given: str = "") -> str:
    (path / "server.p12").write_bytes(made.pkcs12(password or None))
    return f"settings {{\n    tls_cert_path server.p12\n    tls_cert_password {given}\n}}\n" + ENCRYPTED


@pytest.mark.thorough
def test_a_machine_that_has_everything_is_fine_and_stays_as_it_is(tmp_path: Path) -> None:
    hls = f"workflow hls {{\n    ffmpeg_hls path={tmp_path}/a/b stream_name=x duration=2 count=5\n}}\n"
    text = "settings {\n    log_path logs/deep\n    state_path state\n}\n" + PLAIN + hls
    result = here(tmp_path, text)
    assert (result.exit_code, json.loads(result.output)["problems"]) == (0, [])
    assert [path.name for path in tmp_path.iterdir()] == ["w.mmids"]


def test_a_certificate_is_read_as_the_server_does(tmp_path: Path) -> None:
    certificate = f"the certificate '{tmp_path}/server.p12' cannot be used"
    assert problems(tmp_path, tls(tmp_path, make(), "secret", "secret")) == []
    assert problems(tmp_path, tls(tmp_path, make(), "secret", "another")) == [
        (2, 19, f"{certificate}: its password is wrong (tls_cert_password)")
    ]
    old = make(end=datetime(2021, 5, 6, tzinfo=UTC))
    assert problems(tmp_path, tls(tmp_path, old)) == [(2, 19, f"{certificate}: it expired on 2021-05-06 00:00 UTC")]
    text = tls(tmp_path, old)
    (tmp_path / "server.p12").unlink()
    [(line, column, message)] = problems(tmp_path, text)
    assert (line, column) == (2, 19)
    assert "No such file" in message
    assert problems(tmp_path, ENCRYPTED) == [
        (2, 5, "TLS needs a certificate, and the setting tls_cert_path names none")
    ]


def test_an_ffmpeg_is_looked_for_where_a_step_runs_one_or_a_setting_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmids_trio.cli.checking.Places", partial(Places, search_path="", shipped=lambda: None))
    text = PLAIN.replace("}", "    ffmpeg_push target=rtmp://127.0.0.1:1/a/b\n}")
    [(line, column, message)] = problems(tmp_path, text)
    assert (line, column) == (3, 5)
    assert message.startswith("no ffmpeg found: the setting ffmpeg_path is not set")
    assert problems(tmp_path, PLAIN) == []
    named = "settings {\n    ffmpeg_path nowhere/ffmpeg\n}\n" + PLAIN
    [(line, column, message)] = problems(tmp_path, named)
    assert (line, column) == (2, 17)
    assert message == f"no ffmpeg found: the setting ffmpeg_path names {tmp_path}/nowhere/ffmpeg, which does not exist"


@pytest.mark.thorough
def test_files_that_cannot_be_read_and_directories_that_cannot_be_made_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    text = (
        "settings {\n    log_path file/logs\n    state_path file/state\n}\n"
        "workflow w {\n    ffmpeg_pull location=absent.flv stream_name=x loop=true\n    slate after=1 file=absent.png\n"
        f"    ffmpeg_hls path={tmp_path}/file/hls stream_name=x duration=2 count=5\n}}\n"
    )
    blocked = f"cannot be made: '{tmp_path}/file' is not a directory"
    assert problems(tmp_path, text) == [
        (2, 14, f"the directory '{tmp_path}/file/logs' {blocked}"),
        (3, 16, f"the directory '{tmp_path}/file' {blocked}"),
        (6, 17, "ffmpeg_pull: the file 'absent.flv' cannot be read"),
        (7, 19, "slate: the file 'absent.png' cannot be read"),
        (8, 16, f"ffmpeg_hls: the directory '{tmp_path}/file/hls' {blocked}"),
    ]


@pytest.mark.thorough
def test_a_value_from_outside_is_not_shown_where_it_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    text = "workflow w {\n    ffmpeg_hls path=${HLS_DIRECTORY} stream_name=x duration=2 count=5\n}\n"
    result = here(tmp_path, text, HLS_DIRECTORY=f"{tmp_path}/file/secretDirectory")
    assert result.exit_code == 1
    assert "secretDirectory" not in result.output


def test_a_directory_that_may_not_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert directory_problem(str(tmp_path)) == f"the directory '{tmp_path}' cannot be written"
    assert directory_problem(f"{tmp_path}/a/b") == f"the directory '{tmp_path}/a/b' cannot be made"


async def test_plan_tells_what_the_server_lacks_for_what_changes(tmp_path: Path) -> None:
    wanted = tmp_path / "w.mmids"
    wanted.write_text("\n" + ENCRYPTED)
    async with Harness(PLAIN.replace("live", "other")) as h:
        planned = await command(h.http, "plan", "--json", str(wanted))
        assert planned.status == 1
        [problem] = planned.document["problems"]
        assert (problem["file"], problem["line"], problem["column"]) == (str(wanted), 3, 5)
        assert problem["message"].startswith("TLS needs a certificate")
        assert problem["message"] in planned.err
        assert planned.document["changed"]
        applied = await command(h.http, "apply", str(wanted))
        assert applied.status == 1
        assert "TLS needs a certificate" in applied.err
        assert h.server.workflows.names() == ["plain"]
