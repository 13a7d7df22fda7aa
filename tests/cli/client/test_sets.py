"""Two teams on one server, with the real commands: neither stops what the other has, and it shows whose what is."""

from pathlib import Path

import pytest

from mmids_trio.testing.harness import Harness
from tests.support.commands import run
from tests.support.reloading import configuration

pytestmark = pytest.mark.usefixtures("quiet_server")


def workflow(name: str, key: str = "a") -> str:
    return f"workflow {name} {{\n    rtmp_receive rtmp_app={name} stream_key={key}\n}}\n"


def team(directory: Path, name: str, *texts: str) -> str:
    """The files of a team: a directory in its own repository."""
    of_team = directory / name
    of_team.mkdir(exist_ok=True)
    (of_team / "all.mmids").write_text("".join(texts))
    return str(of_team)


@pytest.mark.thorough
async def test_two_teams_roll_out_and_neither_stops_what_the_other_has(tmp_path: Path) -> None:
    async with Harness(workflow("of-file")) as h:
        sport = team(tmp_path, "sport", workflow("s1"), workflow("s2"))
        news = team(tmp_path, "news", workflow("n1"))
        before = (await run(h, "export", "--set", "sport", "--etag")).out.strip()
        await run(h, "apply", "--set", "news", "--prune", news)
        await run(h, "apply", "--set", "sport", "--prune", "--if-match", before, sport)
        team(tmp_path, "sport", workflow("s2", "new"))
        planned = await run(h, "plan", "--set", "sport", "--prune", "--show-keys", sport, status=2)
        assert planned.out.splitlines() == [
            "~ workflow s2   set sport",
            "    - rtmp_receive rtmp_app=s2 stream_key=a",
            "    + rtmp_receive rtmp_app=s2 stream_key=new   stream_key a -> new",
            "- workflow s1   set sport",
            "    - rtmp_receive rtmp_app=s1 stream_key=a",
            "workflows: 1 changed, 1 stopped; disconnects nobody",
        ]
        await run(h, "apply", "--set", "sport", "--prune", sport)
        assert h.server.workflows.names() == ["of-file", "n1", "s2"]
        listed = (await run(h, "list")).out.splitlines()
        assert [line.split("  ")[-1].strip() for line in listed[1:]] == ["config", "set news", "set sport"]
        assert (await run(h, "list", "--names", "--set", "sport")).out == "s2\n"
        assert [each["name"] for each in (await run(h, "list", "--json", "--set", "news")).document] == ["n1"]
        assert (await run(h, "list", "--names", "--json", "--set", "nobody")).document == []
        assert "owner: set news" in (await run(h, "show", "n1")).out.splitlines()


async def test_a_rollout_of_a_team_is_taken_back_and_the_other_team_stays(tmp_path: Path) -> None:
    async with Harness() as h:
        await run(h, "apply", "--set", "news", team(tmp_path, "news", workflow("n1")))
        backup = tmp_path / "before.mmids"
        before = await run(h, "export", "--set", "sport", "--etag", "--output", str(backup))
        sport = team(tmp_path, "sport", workflow("s1"))
        await run(h, "apply", "--set", "sport", "--prune", "--if-match", before.out.strip(), sport)
        after = (await run(h, "export", "--set", "sport", "--etag")).out.strip()
        await run(h, "apply", "--set", "news", team(tmp_path, "news", workflow("n1"), workflow("n2")))
        await run(h, "apply", "--set", "sport", "--prune", "--if-match", after, str(backup))
        assert h.server.workflows.names() == ["n1", "n2"]


@pytest.mark.parametrize("verb", ["plan", "apply"])
async def test_what_another_team_has_is_refused_with_its_name_until_it_is_taken_over(tmp_path: Path, verb: str) -> None:
    async with Harness(workflow("of-file")) as h:
        await run(h, "apply", "--set", "news", team(tmp_path, "news", workflow("n1")))
        wanted = team(tmp_path, "sport", workflow("s1"), workflow("n1"), workflow("of-file"))
        for mode in [()] if verb == "plan" else [(), ("--on-error", "error")]:
            refused = await run(h, verb, "--set", "sport", *mode, wanted, status=1)
            assert (
                "'n1' belongs to the set 'news' of the HTTP API; leave it out, or take it over with --take-over"
                in refused.err
            )
            assert "'of-file' belongs to the configuration file" in refused.err
        planned = await run(h, "plan", "--set", "sport", "--take-over", "--show-keys", wanted, status=2)
        assert planned.out.splitlines() == [
            "+ workflow s1   set sport",
            "    + rtmp_receive rtmp_app=s1 stream_key=a",
            "~ workflow n1   set sport; taken over from the set 'news' of the HTTP API",
            "    = rtmp_receive rtmp_app=n1 stream_key=a",
            "~ workflow of-file   set sport; taken over from the configuration file",
            "    = rtmp_receive rtmp_app=of-file stream_key=a",
            "workflows: 1 new, 2 changed; disconnects nobody",
        ]
        await run(h, "apply", "--set", "sport", "--take-over", wanted)
        assert (await run(h, "list", "--names", "--set", "sport")).out.split() == ["of-file", "n1", "s1"]
        assert (await run(h, "plan", "--set", "sport", "--prune", wanted)).out.startswith("No changes")


@pytest.mark.thorough
async def test_one_by_one_new_workflows_are_of_the_set_and_nothing_is_taken_over(tmp_path: Path) -> None:
    reactor = "reactor lookup executor=simple_http {\n    url http://127.0.0.1:1/\n}\n"
    async with Harness() as h:
        await run(h, "apply", team(tmp_path, "default", workflow("d1")))
        wanted = team(tmp_path, "sport", reactor, workflow("s1"), workflow("s2"))
        await run(h, "apply", "--on-error", "error", "--set", "sport", wanted)
        assert (await run(h, "list", "--names", "--set", "sport")).out.split() == ["s1", "s2"]
        assert "reactor lookup" in (await run(h, "export", "--set", "sport")).out
        team(tmp_path, "sport", reactor, workflow("s2"))
        await run(h, "apply", "--on-error", "error", "--set", "sport", "--prune", wanted)
        assert h.server.workflows.names() == ["d1", "s2"]
        team(tmp_path, "sport", reactor, workflow("d1"))
        refused = await run(h, "apply", "--on-error", "error", "--set", "sport", "--take-over", wanted, status=1)
        assert "--on-error error takes nothing over" in refused.err


async def test_nothing_on_standard_input_stops_no_set() -> None:
    async with Harness() as h:
        await run(h, "apply", "--set", "sport", "-", stdin=workflow("s1"))
        await run(h, "apply", "--set", "news", "-", stdin=workflow("n1"))
        refused = await run(h, "apply", "--set", "sport", "--prune", "-", status=1)
        assert "would stop the only workflow of the set 'sport' of the HTTP API" in refused.err
        assert "--allow-empty allows it" in refused.err
        await run(h, "apply", "--set", "sport", "--prune", "--allow-empty", "-")
        assert h.server.workflows.names() == ["n1"]


@pytest.mark.parametrize("verb", ["plan", "apply"])
async def test_a_name_that_no_set_can_have_is_an_error(verb: str) -> None:
    async with Harness() as h:
        refused = await run(h, verb, "--set", "a b", "-", stdin=workflow("w"), status=1)
        assert "set='a b': the name of a set is a plain word" in refused.err
        assert "set='a b'" in (await run(h, "export", "--set", "a b", status=1)).err


async def test_reload_says_what_stays_away_and_whose_it_takes() -> None:
    text = workflow("a") + workflow("b")
    async with Harness(text, load_again=lambda: configuration(text)) as h:
        await run(h, "delete", "a")
        await run(h, "apply", "--set", "team", "--take-over", "-", stdin=workflow("b", "theirs"))
        for option in ("--dry-run", "--yes"):
            done = await run(h, "reload", option)
            assert "workflow a of the file stays away: the API has deleted it" in done.err
        assert h.server.workflows.names() == ["b"]
        text = workflow("a") + workflow("b", "edited")
        planned = await run(h, "reload", "--dry-run")
        head = "~ workflow b   configuration file mmids.config; taken over from the set 'team' of the HTTP API"
        assert planned.out.splitlines()[0] == head
        assert (await run(h, "reload", "--json")).document["kept_away"] == ["a"]
