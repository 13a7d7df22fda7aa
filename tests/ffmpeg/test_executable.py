"""Where an ffmpeg is found, and what is said when there is none."""

import errno
import os
import shutil
import sys
from pathlib import Path

import pytest
import trio

from mmids_trio.errors import StepError
from mmids_trio.ffmpeg.executable import Executable, Places, find_ffmpeg, parse_version, shipped_with_imageio
from mmids_trio.ffmpeg.spawning import SystemSpawner
from mmids_trio.testing.cancellation import cancel_everywhere
from mmids_trio.testing.processes import Behaviour, FakeSpawner

ANSWER = (
    b"ffmpeg version 7.1-static https://example.org  Copyright (c) 2000-2024 the FFmpeg developers\nbuilt with gcc\n"
)
WORKS = Behaviour(stdout=[(0.05, ANSWER)], exits_after=0.1)


def nothing() -> str | None:
    return None


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "bin" / "ffmpeg"
    path.parent.mkdir()
    path.touch(mode=0o755)
    return path


@pytest.mark.parametrize(
    ("output", "version"),
    [
        (ANSWER.decode(), "7.1-static"),
        ("ffmpeg version n9.0.2-17-g2a571b6068 Copyright", "n9.0.2-17-g2a571b6068"),
        ("a warning\nffmpeg version 5.1.9-0+deb12u1 Copyright", "5.1.9-0+deb12u1"),
        ("ffprobe version 5.1", None),
        ("", None),
    ],
)
def test_the_version_is_read_from_the_first_words(output: str, version: str | None) -> None:
    assert parse_version(output) == version


async def test_the_setting_comes_first(program: Path) -> None:
    spawner = FakeSpawner([WORKS])
    found = await find_ffmpeg(Places(str(program), search_path="", shipped=nothing), spawner)
    assert found == Executable(str(program), "7.1-static", "the setting ffmpeg_path")
    assert spawner.processes[0].arguments == (str(program), "-version")
    spawner.check_nothing_is_left()


async def test_then_the_first_on_path(program: Path) -> None:
    search_path = os.pathsep.join(["/nowhere", str(program.parent)])
    found = await find_ffmpeg(Places(None, search_path, lambda: "/shipped/ffmpeg"), FakeSpawner([WORKS]))
    assert (found.path, found.origin) == (str(program), "PATH")


async def test_then_the_one_that_a_package_ships() -> None:
    found = await find_ffmpeg(Places(None, "", lambda: "/shipped/ffmpeg"), FakeSpawner([WORKS]))
    assert (found.path, found.origin) == ("/shipped/ffmpeg", "the package imageio-ffmpeg")


async def test_without_any_the_error_lists_every_place() -> None:
    with pytest.raises(StepError) as caught:
        await find_ffmpeg(Places(None, "/a:/b", nothing), FakeSpawner())
    for part in (
        "ffmpeg_path is not set",
        "'ffmpeg' on PATH (/a:/b)",
        "imageio-ffmpeg is not installed",
        "pip install 'mmids_trio[ffmpeg]'",
    ):
        assert part in str(caught.value)


async def test_a_setting_that_names_nothing_is_not_replaced_by_another(program: Path) -> None:
    with pytest.raises(StepError, match="ffmpeg_path names /nowhere/ffmpeg, which does not exist"):
        await find_ffmpeg(Places("/nowhere/ffmpeg", str(program.parent), nothing), FakeSpawner([WORKS]))


@pytest.fixture
def plain_file(tmp_path: Path) -> Path:
    path = tmp_path / "notes.txt"
    path.touch(mode=0o644)
    return path


async def test_a_setting_that_names_a_plain_file_is_an_error(plain_file: Path) -> None:
    with pytest.raises(StepError, match=r"notes\.txt, which is not an executable file"):
        await find_ffmpeg(Places(str(plain_file)), FakeSpawner([WORKS]))


async def test_a_setting_that_names_a_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="which is not an executable file"):
        await find_ffmpeg(Places(str(tmp_path)), FakeSpawner([WORKS]))


@pytest.mark.parametrize(
    ("behaviour", "complaint"),
    [
        (Behaviour(exits_after=0.1, exit_status=127), "with -version it exited with status 127"),
        (Behaviour(exits_after=0.1, stdout=[(0, b"hello")]), "its answer to -version names no version"),
        (Behaviour(), "no answer to -version within 10 s"),
        (Behaviour(signals={}), "no answer to -version within 10 s"),
        (Behaviour(cannot_start=errno.EACCES), "cannot run .*: EACCES"),
    ],
)
async def test_a_program_that_is_no_ffmpeg_is_refused_and_ended(
    autojump_clock: trio.abc.Clock, program: Path, behaviour: Behaviour, complaint: str
) -> None:
    spawner = FakeSpawner([behaviour])
    with pytest.raises(StepError, match=complaint):
        await find_ffmpeg(Places(str(program)), spawner)
    assert trio.current_time() < 15
    spawner.check_nothing_is_left()


async def test_the_question_may_be_cancelled_anywhere(autojump_clock: trio.abc.Clock, program: Path) -> None:
    spawner = FakeSpawner([WORKS])
    cancelled = await cancel_everywhere(
        lambda: find_ffmpeg(Places(str(program)), spawner), spawner.check_nothing_is_left
    )
    assert cancelled > 3


def test_a_missing_package_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    assert shipped_with_imageio() is None


@pytest.mark.e2e
@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg on PATH")
async def test_a_real_ffmpeg_tells_its_version() -> None:
    found = await find_ffmpeg(Places(None), SystemSpawner())
    assert found.origin == "PATH"
    assert found.version[0].isalnum()


@pytest.mark.e2e
async def test_the_shipped_ffmpeg_tells_its_version() -> None:
    pytest.importorskip("imageio_ffmpeg")
    found = await find_ffmpeg(Places(None, search_path=""), SystemSpawner())
    assert found.origin == "the package imageio-ffmpeg"
    assert found.version[0].isalnum()
