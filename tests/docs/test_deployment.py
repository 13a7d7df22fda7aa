"""The unit and the container file keep the promises of docs/deployment.md, and fit the configuration."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mmids_trio.config.parser import Document
from mmids_trio.reload.configuration_file import Kinds, load

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNIT = (DEPLOY / "mmids_trio.service").read_text("utf-8")
CONTAINER = (DEPLOY / "Containerfile").read_text("utf-8").replace("\\\n", " ")
PAGE = (ROOT / "docs" / "deployment.md").read_text("utf-8")


def promised(heading: str) -> list[tuple[str, str]]:
    """Promise and line for each row of the table whose second column is `heading`."""
    [table] = re.findall(rf"^\| promise \| {heading} \|\n\|[- |]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    rows = [row.strip("|").split("|") for row in table.strip().split("\n")]
    return [(what.strip(), line) for what, lines in rows for line in re.findall(r"`(.+?)`", lines)]


def instructions(name: str) -> list[str]:
    """The arguments of all instructions of that name in the last stage."""
    last = CONTAINER[CONTAINER.rindex("FROM ") :]
    return re.findall(rf"^{name} +(.*)$", last, re.MULTILINE)


@pytest.mark.parametrize(("promise", "line"), promised("line of the unit"))
def test_the_unit_has_what_the_page_promises(promise: str, line: str) -> None:
    assert line in UNIT.split("\n"), promise


@pytest.mark.parametrize(("promise", "text"), promised("instruction of the container file"))
def test_the_container_file_has_what_the_page_promises(promise: str, text: str) -> None:
    assert re.search(rf"(^|\s){re.escape(text)}(\s|$)", CONTAINER), promise


def test_no_setting_of_the_unit_is_undone_by_a_later_one() -> None:
    names = re.findall(r"^(\w+)=", UNIT, re.MULTILINE)
    repeated = {name for name in names if names.count(name) > 1}
    assert repeated == {"SystemCallFilter"}  # of which the second takes away from the first


def test_the_container_ends_as_nobody_special_and_runs_the_program_alone() -> None:
    [user] = instructions("USER")
    assert user.split(":")[0] not in ("0", "root")
    assert instructions("ENTRYPOINT") == ['["python", "-m", "mmids_trio"]']
    assert not instructions("ADD")


def test_what_the_container_file_copies_is_there() -> None:
    sources = re.findall(r"^COPY (?!--from)(.*) \S+$", CONTAINER, re.MULTILINE)
    assert sources
    for source in " ".join(sources).split():
        assert (ROOT / source).exists(), source


def test_the_configuration_fits_unit_and_container(kinds: Callable[[Document], Kinds]) -> None:
    file = DEPLOY / "mmids.config"
    configuration = load(file, kinds)
    settings = configuration.settings
    assert configuration.document.warnings == ()
    for written in (Path(settings.log_path or "/"), Path(settings.state_path or "/")):
        assert any(written.is_relative_to(place) for place in ("/var/lib/mmids_trio", "/var/log/mmids_trio")), written
    assert f"127.0.0.1:{settings.http_api_port}/" in " ".join(instructions("HEALTHCHECK"))
    [command] = instructions("CMD")
    assert f"/etc/mmids_trio/{file.name}" in command
    assert f"--config /etc/mmids_trio/{file.name}\n" in UNIT
