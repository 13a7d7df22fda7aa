"""`steps` lists the kinds that the program knows, for people and for programs."""

from pathlib import Path

import pytest
from trio.testing import MockClock

from mmids_trio.testing import Harness
from tests.support.commands import invoke
from tests.support.plugins import LISTED, STUDIO, imports_undone, write_package


def test_all_kinds_are_listed_with_their_parameters_and_owners() -> None:
    listed = invoke("steps").out
    assert listed.startswith("step rtmp_receive (mmids_trio)\n    rtmp_app=...: a value that is not empty; required\n")
    assert "    rtmps: a flag\n" in listed
    assert "    on_busy=...: one of refuse, takeover, same_source; default refuse; may change in place\n" in listed
    assert "step workflow_forwarder (mmids_trio), also forward_to_workflow\n" in listed
    assert "executor simple_http (mmids_trio)\n    url ...: an http or https URL;" in listed


def test_named_kinds_are_listed_alone() -> None:
    assert invoke("steps", "slate").out.count("step ") == 1
    assert [kind["name"] for kind in invoke("steps", "--json", "forward_to_workflow", "slate").document] == [
        "slate",
        "workflow_forwarder",
    ]
    unknown = invoke("steps", "slaet")
    assert (unknown.status, unknown.out) == (1, "")
    assert unknown.err.startswith("error: there is no step or executor 'slaet'")


def test_packages_and_modules_are_listed_with_whose_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with imports_undone():
        monkeypatch.syspath_prepend(tmp_path / "packages")
        write_package(tmp_path / "packages", "studio", STUDIO, steps="passing = studio:passing")
        other = STUDIO.replace('"passing"', '"other"').replace('"nods"', '"agrees"')
        (tmp_path / "module.py").write_text(other + LISTED)
        (tmp_path / "third.py").write_text(other.replace('"other"', '"third"') + "STEPS = (passing(),)\n")
        (tmp_path / "my.mmids").write_text("settings {\n    load third\n}\n")
        listed = invoke("steps", "--load", "module", "--config", "my.mmids", "passing", "other", "third", "agrees").out
    heads = [line for line in listed.splitlines() if line.startswith(("step", "executor"))]
    assert heads == [
        "step passing (studio 1.5)",
        "step other (module module)",
        "step third (module third)",
        "executor agrees (module module)",
    ]
    assert "    after=...: a time from 100ms to 1h, with its unit, as in 200ms, 2s, 5m or 1h; default 5s\n" in listed


async def test_the_document_of_the_api_tells_the_same(autojump_clock: MockClock) -> None:
    async with Harness() as h:
        document = (await h.http.get("/openapi.json")).json()
    assert document["x-kinds"] == invoke("steps", "--json").document
