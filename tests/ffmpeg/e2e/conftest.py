"""What the tests with a real ffmpeg share: each runs with every ffmpeg that is there, on one short recording."""

import shutil
from pathlib import Path

import pytest

from tests.support.ffmpeg_runs import executables, make_flv

SECONDS = 6


@pytest.fixture(params=executables(), ids=lambda path: Path(path).name)
def ffmpeg(request: pytest.FixtureRequest) -> str:
    """An executable."""
    path: str = request.param
    return path


@pytest.fixture(scope="session")
def flv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of moving pictures and a tone, a key frame a second."""
    if shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None:
        pytest.skip("ffmpeg and ffprobe are not installed")
    path = tmp_path_factory.mktemp("media") / "in.flv"
    make_flv(path, seconds=SECONDS)
    return path
