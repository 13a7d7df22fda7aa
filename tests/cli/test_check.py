"""`check` reads files, directories and standard input, and finds what is wrong with them alone and together."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mmids_trio.__main__ import main
from mmids_trio.cli.known_kinds import KnownKinds
from mmids_trio.errors import ConfigurationError
from mmids_trio.reload.configuration_file import load

ONE = "workflow one {\n    rtmp_receive rtmp_app=live stream_key=*\n}\n"
OTHER = "workflow other {\n    rtmp_receive rtmp_app=other stream_key=*\n}\n"
MISSPELT = "settings {\n    http_api_prot 9011\n}\n"


def run(*arguments: str | Path, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, ["check", *map(str, arguments)], input=stdin)


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


HTTP = "http_watch app=a stream_key=*"


def test_several_files_a_directory_and_standard_input_are_one_configuration(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    write(folder / "one.mmids", ONE)
    result = run(folder, "-", stdin=OTHER)
    assert (result.exit_code, result.output) == (0, f"{folder}, -: no errors, 2 workflows, 0 reactors\n")


@pytest.mark.parametrize(
    ("second", "what"),
    [
        ("rtmp_receive rtmp_app=live stream_key=cam", "application 'live', stream key 'cam' for publishers is taken"),
        ("rtmp_receive rtmp_app=/live port=1935 stream_key=*", "is taken by workflow 'one'"),
        ("rtmp_watch rtmp_app=a stream_key=* rtmps port=1935", "1935"),
    ],
)
def test_what_two_workflows_want_is_found_in_the_text(tmp_path: Path, second: str, what: str) -> None:
    one = write(tmp_path / "one.mmids", ONE)
    two = write(tmp_path / "two.mmids", f"workflow two {{\n    {second}\n}}\n")
    assert run(one).exit_code == run(two).exit_code == 0
    result = run(one, two)
    assert result.exit_code == 1
    assert f"{two}:2:5: " in result.output
    assert what in result.output


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        ("rtmp_receive rtmp_app=a stream_key=* port=8080", HTTP, "8080 is used for RTMP by workflow 'one' (step id 1)"),
        (HTTP, "rtmp_watch rtmp_app=a stream_key=* port=8080", "8080 is used for HTTP by workflow 'one' (step id 1)"),
        (HTTP, "http_watch app=b stream_key=* https", "8080 is used for HTTP by workflow 'one' (step id 1)"),
        (HTTP, HTTP, "port 8080, application 'a', stream key '*' for watchers is taken"),
    ],
)
def test_a_port_is_for_one_protocol(tmp_path: Path, first: str, second: str, what: str) -> None:
    text = f"workflow one {{\n    {first}\n}}\nworkflow two {{\n    {second}\n}}\n"
    result = run(write(tmp_path / "all.mmids", text))
    assert (result.exit_code, what in result.output) == (1, True), result.output


@pytest.mark.parametrize(
    ("settings", "step", "fits"),
    [
        ("http_api_port 8080", HTTP, False),
        ("http_api_port 1935", "rtmp_watch rtmp_app=a stream_key=*", False),
        ("http_api_port 8080\n http_media_port 8081", HTTP, True),
        ("http_api_port 8080\n http_media_host 192.0.2.1", HTTP, True),
        ("http_api_port 0", f"{HTTP} port=0", True),
        ("http_media_port 1935", f"{HTTP}\n rtmp_watch rtmp_app=a stream_key=*", False),
    ],
)
def test_ports_of_settings_count_too(tmp_path: Path, settings: str, step: str, fits: bool) -> None:
    text = f"settings {{\n {settings}\n}}\nworkflow one {{\n    {step}\n}}\n"
    result = run(write(tmp_path / "all.mmids", text))
    assert (result.exit_code == 0, "so it cannot serve" in result.output) == (fits, not fits), result.output


def test_watchers_and_other_ports_are_in_nobodys_way(tmp_path: Path) -> None:
    text = (
        ONE + ONE.replace("one", "two").replace("receive", "watch") + ONE.replace("one", "x").replace("=*", "=* port=2")
    )
    assert run(write(tmp_path / "all.mmids", text)).exit_code == 0


def test_a_name_in_two_files_is_an_error(tmp_path: Path) -> None:
    files = [write(tmp_path / name, ONE) for name in ("a.mmids", "b.mmids")]
    result = run(*files)
    assert result.exit_code == 1
    assert f"workflow 'one' is defined twice (first in {files[0]}:1)" in result.output


def test_problems_have_one_shape_for_programs(tmp_path: Path) -> None:
    file = write(tmp_path / "bad.mmids", MISSPELT)
    result = run("--json", file)
    assert result.exit_code == 1
    [problem] = json.loads(result.output)["problems"]
    assert (problem["file"], problem["line"], problem["column"]) == (str(file), 2, 5)
    assert problem["message"].startswith("unknown setting ")
    assert "http_api_port" in problem["hint"]
    assert "9011" not in result.output
    assert json.loads(run("--json", write(file, ONE)).output) == {"problems": [], "warnings": []}


@pytest.mark.parametrize("name", ["absent.mmids", "folder"])
def test_what_cannot_be_read_is_one_message(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    result = run(tmp_path / name)
    assert result.exit_code == 1
    assert result.output.startswith("error: ")
    assert name in result.output


def test_an_unknown_setting_is_a_warning_at_the_start_and_an_error_where_that_is_asked_for(tmp_path: Path) -> None:
    file = write(tmp_path / "a.mmids", MISSPELT + ONE)
    assert [warning.place.line for warning in load(file, KnownKinds()).document.warnings] == [2]
    with pytest.raises(ConfigurationError, match="unknown setting"):
        load(file, KnownKinds(), is_strict=True)
    write(file, MISSPELT.replace("9011", "9011\n    strict_settings true") + ONE)
    with pytest.raises(ConfigurationError, match="unknown setting"):
        load(file, KnownKinds())


@pytest.mark.parametrize(
    ("step", "warns_of"),
    [
        (
            "ffmpeg_hls path=out",
            "'count' is not given: Mmids' default holds since 0.2, all segments are listed and kept",
        ),
        (
            "ffmpeg_pull location=a.mp4 stream_name=a",
            "'loop' is not given: Mmids' default holds since 0.2, the file is",
        ),
        ("ffmpeg_hls path=out count=0", None),
        ("ffmpeg_pull location=a.mp4 stream_name=a loop=false", None),
        ("ffmpeg_pull location=rtmp://h/a/b stream_name=a", None),
    ],
)
def test_defaults_that_are_new_are_warned_of(tmp_path: Path, step: str, warns_of: str | None) -> None:
    file = write(tmp_path / "a.mmids", f"workflow w {{\n    {step}\n}}\n")
    result = run(file)
    assert result.exit_code == 0
    assert result.output.count("warning") == (warns_of is not None)
    assert warns_of is None or f"{file}:2:5: {step.split(maxsplit=1)[0]}: {warns_of}" in result.output
    [*warnings] = json.loads(run(file, "--json").output)["warnings"]
    assert len(warnings) == (warns_of is not None)
    loaded = load(file, KnownKinds()).document.warnings  # which a server logs when it starts
    assert [warning.message for warning in loaded] == [each["message"] for each in warnings]
