"""`check`, `plan` and `apply` resolve variables and includes where they run; `--no-env` refuses them."""

import json
from pathlib import Path

import pytest

from mmids_trio.testing.harness import Harness
from tests.support.commands import command, invoke

pytestmark = pytest.mark.usefixtures("quiet_server")

GUEST = """workflow guest {
    rtmp_receive rtmp_app=guest stream_key=${GUEST_KEY} publish_token=${file:token}
    rtmp_watch rtmp_app=guest stream_key=${GUEST_KEY} send_interval=${INTERVAL:-10}
}
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that includes another, which takes its values from the environment and from a file."""
    monkeypatch.setenv("GUEST_KEY", "theKeyOfTheGuest")
    (tmp_path / "main.mmids").write_text("include teams/*.mmids\n")
    (tmp_path / "teams").mkdir()
    (tmp_path / "teams" / "guest.mmids").write_text(GUEST)
    (tmp_path / "teams" / "token").write_text("theTokenOfTheGuest\n")
    return tmp_path / "main.mmids"


@pytest.mark.thorough
@pytest.mark.parametrize("how", [(), ("--on-error", "error")])
async def test_apply_sends_values_that_nobody_is_shown(files: Path, how: tuple[str, ...]) -> None:
    async with Harness() as h:
        planned = await command(h.http, "plan", str(files))
        assert planned.status == 2
        assert "+ rtmp_receive rtmp_app=guest stream_key=*** publish_token=***" in planned.out
        applied = await command(h.http, "apply", *how, str(files))
        assert applied.status == 0
        await h.publish("guest/theKeyOfTheGuest?token=theTokenOfTheGuest")
        exported = await command(h.http, "export")
        assert "rtmp_receive publish_token=${file:token} rtmp_app=guest stream_key=${GUEST_KEY}" in exported.out
        shown = await command(h.http, "show", "guest")
        assert "OfTheGuest" not in "".join(r.out + r.err for r in (planned, applied, exported, shown))
        assert (await command(h.http, "plan", str(files))).status == 0


async def test_what_is_exported_can_be_applied_where_the_values_are(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Harness() as h:
        await command(h.http, "apply", str(files))
        exported = (await command(h.http, "export")).out.replace("file:token", "file:teams/token")
        (tmp_path / "export.mmids").write_text(exported)
        monkeypatch.setenv("INTERVAL", "10")
        assert (await command(h.http, "plan", "--prune", str(tmp_path / "export.mmids"))).status == 0


async def test_what_the_server_says_has_the_lines_of_the_files(files: Path) -> None:
    guest = files.parent / "teams" / "guest.mmids"
    guest.write_text(GUEST.replace("send_interval", "rtmps send_interval"))
    async with Harness() as h:
        await h.put("workflow other {\n rtmp_receive rtmp_app=x stream_key=*\n}\n")
        guest.write_text(GUEST.replace("    rtmp_watch", "    nonsense"))
        refused = await command(h.http, "plan", str(files))
        assert refused.status == 1
        assert f"{guest}:3:5: unknown step type 'nonsense'" in refused.err
        assert "OfTheGuest" not in refused.err


@pytest.mark.parametrize("name", ["check", "plan", "apply"])
def test_no_env_refuses_all_that_comes_from_outside(files: Path, name: str) -> None:
    guest = files.parent / "teams" / "guest.mmids"
    for file, place in ((files, "1:1: other files cannot be included here"), (guest, "2:44: a variable cannot stand")):
        done = invoke(name, "--no-env", str(file))
        assert done.status == 1
        assert f"{file}:{place}" in done.err
        assert "--no-env refuses it" in done.err


@pytest.mark.parametrize("name", ["check", "plan", "apply"])
def test_a_name_that_is_not_set_is_an_error_with_its_place(
    files: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GUEST_KEY")
    done = invoke(name, str(files))
    assert done.status == 1
    guest = files.parent / "teams" / "guest.mmids"
    assert f"{guest}:2:44: the environment variable 'GUEST_KEY' is not set" in done.err


def test_check_counts_what_is_included_and_shows_no_value(files: Path) -> None:
    done = invoke("check", str(files))
    assert (done.status, done.out) == (0, f"{files}: no errors, 1 workflow, 0 reactors\n")
    (files.parent / "other.mmids").write_text(GUEST.replace("guest", "other", 1).replace("file:", "file:teams/"))
    done = invoke("check", "--json", str(files), str(files.parent / "other.mmids"))
    first, _ = json.loads(done.out)["problems"]
    assert "is taken by workflow 'guest'" in first["message"]
    assert "theKeyOfTheGuest" not in done.out
