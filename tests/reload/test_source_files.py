"""Files that include others and take values from outside: which are read, in which order, and what bounds them."""

import os
from pathlib import Path

import pytest

from mmids_trio.cli.known_kinds import KnownKinds
from mmids_trio.errors import ConfigurationError
from mmids_trio.reload import source_files
from mmids_trio.reload.configuration_file import Configuration, load
from mmids_trio.reload.source_files import MAX_DEPTH, MAX_VALUE_BYTES, SourceReader
from mmids_trio.reload.watch import Looks


def workflow(name: str) -> str:
    return f"workflow {name} {{\n    rtmp_receive rtmp_app={name} stream_key=*\n}}\n"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(text, "utf-8")
    return path


def loaded(path: Path, **environment: str) -> Configuration:
    return load(path, KnownKinds(), environment=environment)


def names(configuration: Configuration) -> list[str]:
    return [each.name for each in configuration.document.workflows]


def problem_of(path: Path, **environment: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        loaded(path, **environment)
    [problem] = caught.value.problems
    return problem.summary


def test_included_files_follow_in_the_order_of_their_names_and_their_paths_are_relative_to_themselves(
    tmp_path: Path,
) -> None:
    main = write(tmp_path / "main.mmids", "include teams/*.mmids\n" + workflow("main"))
    write(tmp_path / "teams" / "b.mmids", workflow("b"))
    write(tmp_path / "teams" / "a.mmids", "include more/x\n" + workflow("a"))
    write(tmp_path / "teams" / "more" / "x", workflow("x"))
    write(tmp_path / "teams" / "other.txt", "nonsense {")
    (tmp_path / "teams" / "folder.mmids").mkdir()
    assert names(loaded(main)) == ["main", "a", "x", "b"]


def test_a_pattern_may_match_nothing_and_a_name_must_not(tmp_path: Path) -> None:
    assert names(loaded(write(tmp_path / "main.mmids", "include none/*.mmids\n" + workflow("w")))) == ["w"]
    main = write(tmp_path / "main.mmids", workflow("w") + "\n  include none.mmids\n")
    assert problem_of(main).startswith(f"{main}:5:11: cannot read the file '")


def test_a_file_that_is_included_twice_counts_once(tmp_path: Path) -> None:
    main = write(tmp_path / "main.mmids", "include a.mmids\ninclude *.mmids\n".replace("*", "[ab]"))
    write(tmp_path / "a.mmids", workflow("a"))
    assert names(loaded(main)) == ["a"]


def test_files_that_include_each_other_are_an_error(tmp_path: Path) -> None:
    main = write(tmp_path / "main.mmids", "include a.mmids\n")
    write(tmp_path / "a.mmids", workflow("a") + "include main.mmids\n")
    message = "files that include each other: main.mmids includes a.mmids includes main.mmids"
    assert problem_of(main) == f"{tmp_path / 'a.mmids'}:4:9: {message}"


def test_depth_number_and_bytes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main = write(tmp_path / "0", "include 1\n")
    for number in range(1, MAX_DEPTH + 2):
        write(tmp_path / str(number), f"include {number + 1}\n")
    assert problem_of(main) == f"{tmp_path / str(MAX_DEPTH - 1)}:1:9: files include each other more than 8 deep"
    main = write(tmp_path / "many", "include m/*\n")
    for number in range(4):
        write(tmp_path / "m" / str(number), "#" * 100)
    monkeypatch.setattr(source_files, "MAX_FILES", 3)
    assert problem_of(main) == f"{main}:1:9: more than 3 files"
    monkeypatch.undo()
    reader = SourceReader({}, 399)
    reader.read([source_files.SourceFile(str(main), "include m/*\n", tmp_path)])
    assert [problem.message for problem in reader.problems] == [
        f"the file '{tmp_path / 'm' / '3'}' is too large; there is room for 99 bytes"
    ]


def test_names_and_settings_in_two_files_are_errors(tmp_path: Path) -> None:
    main = write(tmp_path / "main.mmids", "include a\n" + workflow("w"))
    write(tmp_path / "a", workflow("w"))
    assert problem_of(main) == f"{tmp_path / 'a'}:1:10: workflow 'w' is defined twice (first in {main}:2)"
    write(tmp_path / "a", "settings {\n}\n")
    assert loaded(main).settings.http_api_port is None
    write(main, "include a\nsettings {\n}\n")
    assert problem_of(main) == f"{tmp_path / 'a'}:1:1: a second settings node (first in {main}:2)"


def test_faults_in_an_included_file_have_its_name_and_lines(tmp_path: Path) -> None:
    main = write(tmp_path / "main.mmids", "include a\n")
    write(tmp_path / "a", "\nworkflow w {\n    rtmp_receve\n}\n")
    assert problem_of(main).startswith(f"{tmp_path / 'a'}:3:5: unknown step type 'rtmp_receve'")


def test_values_come_from_the_environment_and_from_files_beside_the_text(tmp_path: Path) -> None:
    main = write(tmp_path / "main.mmids", "include teams/a\nsettings {\n    http_api_token ${TOKEN}\n}\n")
    write(
        tmp_path / "teams" / "a",
        "workflow a {\n    rtmp_receive rtmp_app=a stream_key=${KEY:-*} publish_token=${file:../token}\n}\n",
    )
    write(tmp_path / "token", "of the file\r\n")
    configuration = loaded(main, TOKEN="t0ken", KEY="k3y")
    assert configuration.settings.http_api_token == "t0ken"
    [step] = configuration.document.workflows[0].steps
    assert (step.parameters["stream_key"], step.parameters["publish_token"]) == ("k3y", "of the file")
    assert set(configuration.values) == {"t0ken", "k3y", "of the file"}
    assert configuration.patterns == tuple(map(str, (main, tmp_path / "teams" / "a", tmp_path / "token")))
    assert problem_of(main).startswith(f"{main}:3:20: the environment variable 'TOKEN' is not set")


def test_a_value_is_not_waited_for_and_not_too_large(tmp_path: Path) -> None:
    main = write(tmp_path / "main.mmids", "settings {\n    webhook_secret ${file:value}\n}\n")
    value = tmp_path / "value"
    os.mkfifo(value)
    assert problem_of(main) == f"{main}:2:20: '{value}' is not a file"
    value.unlink()
    value.mkdir()
    assert "Is a directory" in problem_of(main) or "is not a file" in problem_of(main)
    value.rmdir()
    write(value, "x" * (MAX_VALUE_BYTES + 1))
    assert problem_of(main).endswith("is too large; there is room for 65,536 bytes")
    value.write_bytes(b"\xff")
    assert problem_of(main).endswith(f"the file '{value}' is not UTF-8")
    write(value, "one\ntwo\n")
    assert "the value of 'file:value' cannot be one" in problem_of(main)


def test_all_files_that_belong_to_a_configuration_are_watched(tmp_path: Path) -> None:
    main = write(tmp_path / "main.mmids", "include teams/*.mmids\nsettings {\n    webhook_secret ${file:value}\n}\n")
    write(tmp_path / "value", "1")
    team = write(tmp_path / "teams" / "a.mmids", "#")
    patterns = [*loaded(main).patterns]
    look = Looks(lambda: patterns).look
    seen = [look()]

    def has_changed() -> bool:
        seen.append(look())
        return seen[-1] != seen[-2]

    assert not has_changed()
    write(tmp_path / "value", "22")
    assert has_changed()
    write(team, "###")
    assert has_changed()
    write(tmp_path / "teams" / "b.mmids", "#")
    assert has_changed()
    write(tmp_path / "teams" / "b.txt", "#")
    assert not has_changed()
    patterns.append(str(tmp_path / "teams" / "b.txt"))
    assert not has_changed()
    main.unlink()
    assert look() is None
