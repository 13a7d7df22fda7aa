"""Peers that are built here or given: what is missing is said, and each is told its port."""

import json
from pathlib import Path

import pytest

from benchmarks import go_peers
from benchmarks.go_peers import LAL, MEDIAMTX, SRS, SRS_SERVER, GoPeer
from benchmarks.machine import NotPossible
from benchmarks.subjects import Ports

PORTS = Ports(1234, 80)


def test_a_peer_that_cannot_be_built_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(go_peers, "GO", ())
    with pytest.raises(NotPossible, match="go is missing"):
        GoPeer("a peer", "example.org/peer", "v1", cache=tmp_path).version()


def test_a_peer_that_was_built_before_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(go_peers, "GO", ())
    peer = GoPeer("a peer", "example.org/peer", "v1", cache=tmp_path)
    peer.program.touch()
    assert peer.program == tmp_path / "peer-v1"
    assert "v1" in peer.version()


def test_what_a_build_says_last_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho 'no such module' >&2\nexit 1\n", encoding="utf-8")
    go.chmod(0o755)
    monkeypatch.setattr(go_peers, "GO", (str(go),))
    with pytest.raises(NotPossible, match="a peer cannot be built: no such module"):
        GoPeer("a peer", "example.org/peer", "v1", cache=tmp_path / "cache").version()


def test_a_build_has_the_files_that_the_module_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources, go = tmp_path / "module", tmp_path / "go"
    (sources / "core").mkdir(parents=True)
    (sources / "go.mod").touch()
    said = json.dumps({"Dir": str(sources)})
    go.write_text(f"#!/bin/sh\ncase $1 in mod) echo '{said}';; *) cp core/VERSION \"$3\";; esac\n", encoding="utf-8")
    go.chmod(0o755)
    monkeypatch.setattr(go_peers, "GO", (str(go),))
    peer = GoPeer("a peer", "example.org/peer", "v1", stubs={"core/VERSION": "v1\n"}, cache=tmp_path / "cache")
    peer.version()
    assert peer.program.read_text("utf-8") == "v1\n"


def test_each_is_told_its_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SRS, "/opt/srs")
    for peer in (MEDIAMTX, LAL, SRS_SERVER):
        command = peer.prepare(tmp_path, PORTS)
        assert "1234" in Path(command[-1]).read_text("utf-8")


def test_srs_takes_part_where_a_binary_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SRS, raising=False)
    with pytest.raises(NotPossible, match="SRS does not say"):
        SRS_SERVER.version()
    monkeypatch.setenv(SRS, str(tmp_path / "srs"))
    with pytest.raises(NotPossible, match="is no program"):
        SRS_SERVER.version()
    (tmp_path / "srs").write_text("#!/bin/sh\necho 7.0.18\n", encoding="utf-8")
    (tmp_path / "srs").chmod(0o755)
    assert SRS_SERVER.version() == "7.0.18"
