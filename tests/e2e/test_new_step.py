"""What `new-step` writes, as a stranger has it: installed with the package in an environment that has nothing else."""

import re
from pathlib import Path

import pytest
import trio

from tests.support.ffmpeg import GOP_FRAMES, Crew, Recording
from tests.support.packages import install, make_environment, run
from tests.support.processes import start

pytestmark = pytest.mark.e2e

NAME = "own_step"
WORKFLOW = f"""workflow live {{
    rtmp_receive rtmp_app=live stream_key=* port=0
    {NAME} hide=backstage
    rtmp_watch rtmp_app=live stream_key=* port=0
}}
"""


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the package and what tests need; beside it the project, which is installed, too."""
    folder = tmp_path_factory.mktemp("stranger")
    programs = make_environment(folder / "environment", wheel, ["pytest", "pytest-trio", "setuptools"])
    said = run(programs / "mmids_trio", "new-step", NAME, directory=folder)
    assert said.startswith(f"{NAME}: a project with the step '{NAME}'. Next:\n    cd {NAME}\n")
    install(programs / "python", "--no-index", "--no-build-isolation", "--editable", str(folder / NAME))
    return programs


@pytest.fixture
def folder(programs: Path) -> Path:
    """Where the stranger works: the project's directory has the name of its module, and must not be taken for it."""
    return programs.parents[1]


def test_the_tests_of_the_project_pass_under_200_schedules(programs: Path, folder: Path) -> None:
    said = run(programs / "python", "-m", "pytest", "-p", "no:cacheprovider", directory=folder / NAME)
    assert re.search(r"^=+ 4 passed in ", said, re.MULTILINE)
    planted = folder / NAME / "src" / f"{NAME}.py"
    text = planted.read_text()
    planted.write_text(text.replace("is_hidden = event.stream_id in self._hidden", "is_hidden = False"))
    try:
        said = run(programs / "python", "-m", "pytest", "-p", "no:cacheprovider", directory=folder / NAME, status=1)
        assert re.search(r"replay with --schedule-seed=\d+", said)
    finally:
        planted.write_text(text)


def test_the_program_lists_the_step_as_the_projects(programs: Path, folder: Path) -> None:
    said = run(programs / "python", "-m", "mmids_trio", "steps", NAME, directory=folder)
    assert said == f"step {NAME} (own-step 0.1.0)\n    hide=...: a value that is not empty; required\n"
    checked = run(programs / "mmids_trio", "check", f"{NAME}/example.mmids", directory=folder)
    assert checked == f"{NAME}/example.mmids: no errors, 1 workflow, 0 reactors\n"


async def test_a_workflow_with_the_step_runs(
    programs: Path, tmp_path: Path, nursery: trio.Nursery, crew: Crew, show: Recording
) -> None:
    file = tmp_path / "live.mmids"
    file.write_text(WORKFLOW)
    server = await start(nursery, [str(programs / "mmids_trio"), "--config", str(file)], name="own", directory=tmp_path)
    url = (await server.out.line("publish +rtmp://")).split()[1].replace("KEY", "show")
    await crew.publish(show, url)
    await server.err.line("publisher joined")
    player = await crew.play(url)
    await player.gets(GOP_FRAMES)
    server.process.terminate()
    assert await server.end() == 0
