"""The shell example of a roll-out, run as CI runs it: plan, apply, health check, and the way back."""

import sys
from pathlib import Path

import pytest
import trio

from tests.support.processes import Child, start
from tests.support.program import ROOT, Launch, Program

pytestmark = pytest.mark.e2e

SCRIPT_SECONDS = 120
"""A script runs ten commands, each of which starts a Python."""

SCRIPT = ROOT / "examples" / "ci" / "deploy.sh"


def workflow(name: str, key: str) -> str:
    """The text of a workflow."""
    return f"workflow {name} {{\n    rtmp_receive rtmp_app={name} stream_key={key} port=0\n}}\n"


async def deploy(
    nursery: trio.Nursery, directory: Path, program: Program, *arguments: str, shell: str = "/bin/sh", **variables: str
) -> Child:
    """The script to its end."""
    environment = {
        "PYTHONPATH": str(ROOT),
        "MMIDS_PYTHON": sys.executable,
        "MMIDS_SERVER": program.api,
        "HEALTH_SECONDS": "0.1",
        **variables,
    }
    command = [shell, str(SCRIPT), *arguments]
    child = await start(nursery, command, name="deploy.sh", directory=directory, environment=environment)
    await child.end(SCRIPT_SECONDS)
    return child


def status(child: Child) -> int | None:
    """Of a script that has ended."""
    return child.process.returncode


@pytest.fixture
def wanted(tmp_path: Path) -> Path:
    """A directory as it would be in git."""
    directory = tmp_path / "workflows"
    directory.mkdir()
    (directory / "show.mmids").write_text(workflow("show", "new"))
    (directory / "extra.mmids").write_text(workflow("an-extra.one", "new"))
    return directory


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
async def test_a_plan_is_shown_and_then_put_in_place(
    launch: Launch, nursery: trio.Nursery, tmp_path: Path, wanted: Path, shell: str
) -> None:
    program = await launch(workflow("show", "old") + workflow("gone", "old"))
    await program.hand_over()
    planned = await deploy(nursery, tmp_path, program, "plan", str(wanted), shell=shell)
    assert status(planned) == 0, planned.err.text
    assert "- workflow gone" in planned.out.lines
    assert "gone" in (await program.get("/config")).text
    check = f"test \"$(curl -s '{program.api}/')\""
    applied = await deploy(nursery, tmp_path, program, "apply", str(wanted), shell=shell, HEALTH_CHECK=check)
    assert status(applied) == 0, applied.err.text
    assert applied.err.lines[-1] == "deploy: in place and healthy"
    assert [item["name"] for item in (await program.get("/workflows")).json] == ["show", "an-extra.one"]


async def test_what_is_not_healthy_is_taken_back(
    launch: Launch, nursery: trio.Nursery, tmp_path: Path, wanted: Path
) -> None:
    program = await launch(workflow("show", "old") + workflow("gone", "old"))
    await program.hand_over()
    before = await program.get("/config")
    child = await deploy(nursery, tmp_path, program, "apply", str(wanted), HEALTH_CHECK="exit 1")
    assert status(child) == 1
    assert child.err.lines[-2:] == ["deploy: not healthy: going back to what ran before", "deploy: rolled back"]
    after = await program.get("/config")
    assert sorted(after.text.split("\n\n")) == sorted(before.text.split("\n\n"))


async def test_what_somebody_else_has_changed_meanwhile_is_not_taken_back(
    launch: Launch, nursery: trio.Nursery, tmp_path: Path, wanted: Path
) -> None:
    program = await launch(workflow("show", "old"))
    await program.hand_over()
    (tmp_path / "urgent.mmids").write_text(workflow("show", "urgent"))
    urgent = f'"{sys.executable}" -m mmids_trio apply "{tmp_path}/urgent.mmids" >&2; exit 1'
    child = await deploy(nursery, tmp_path, program, "apply", str(wanted), HEALTH_CHECK=urgent)
    assert status(child) == 1
    assert child.err.lines[-1] == "deploy: NOT ROLLED BACK, see above"
    assert "stream_key=urgent" in (await program.get("/config")).text


async def test_a_set_that_does_not_start_ends_the_roll_out_with_all_as_it_was(
    launch: Launch, nursery: trio.Nursery, tmp_path: Path, wanted: Path
) -> None:
    program = await launch(workflow("show", "old"))
    await program.hand_over()
    (wanted / "zz.mmids").write_text(workflow("thief", "new").replace("rtmp_app=thief", "rtmp_app=show"))
    before = await program.get("/config")
    child = await deploy(nursery, tmp_path, program, "apply", str(wanted))
    assert status(child) == 1
    assert f"{wanted}/zz.mmids:2:5: port 0, application 'show', stream key 'new'" in child.err.text
    assert await program.get("/config") == before


@pytest.mark.parametrize("arguments", [(), ("apply",), ("plan", "a", "b"), ("deploy", "a")])
async def test_a_wrong_call_says_how_it_is_called(
    launch: Launch, nursery: trio.Nursery, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    command = ["/bin/sh", str(SCRIPT), *arguments]
    child = await start(nursery, command, name="deploy.sh", directory=tmp_path)
    assert await child.end() == 1
    assert child.err.lines == ["deploy: usage: deploy.sh plan DIR | apply DIR"]


async def test_two_teams_share_a_server_and_neither_stops_what_the_other_has(
    launch: Launch, nursery: trio.Nursery, tmp_path: Path
) -> None:
    program = await launch(workflow("of-file", "old"))
    teams = {}
    for team in ("sport", "news"):
        teams[team] = tmp_path / team
        teams[team].mkdir()
        (teams[team] / "all.mmids").write_text(workflow(team, "a") + workflow(f"{team}-2", "a"))
        done = await deploy(nursery, tmp_path, program, "apply", str(teams[team]), MMIDS_SET=team)
        assert status(done) == 0, done.err.text
    # One team drops a workflow while the other's roll-out is being looked at, and turns out to be bad.
    (teams["news"] / "all.mmids").write_text(workflow("news", "a"))
    (teams["sport"] / "all.mmids").write_text(workflow("sport", "b"))
    of_news = f'"{sys.executable}" -m mmids_trio apply --set news --prune "{teams["news"]}" >&2 && exit 1'
    bad = await deploy(
        nursery, tmp_path, program, "apply", str(teams["sport"]), MMIDS_SET="sport", HEALTH_CHECK=of_news
    )
    assert bad.err.lines[-1] == "deploy: rolled back"
    assert [item["name"] for item in (await program.get("/workflows")).json] == ["of-file", "sport", "news", "sport-2"]
    text = (await program.get("/config?set=sport")).text
    assert text.count("stream_key=a") == 2
    # What the other one has is refused, with its name, and so is what the server's own file has.
    for name, owner in (("news", "the set 'news' of the HTTP API"), ("of-file", "the configuration file")):
        (teams["sport"] / "all.mmids").write_text(workflow("sport", "b") + workflow(name, "b"))
        for verb in ("plan", "apply"):
            refused = await deploy(nursery, tmp_path, program, verb, str(teams["sport"]), MMIDS_SET="sport")
            assert status(refused) == 1
            assert f"workflow '{name}' belongs to {owner}" in refused.err.text
    assert (await program.get("/config?set=sport")).text == text
