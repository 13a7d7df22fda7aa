"""The command `capture`, and the name that it had before."""

import pytest
from click.testing import CliRunner

from mmids_trio.__main__ import main


@pytest.mark.parametrize("arguments", [[], ["--out", "x.mmtape"], ["--help"], ["x", "--config", "y"]])
def test_record_is_an_error_that_names_capture(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, ["record", *arguments])
    assert result.exit_code == 2
    assert "a tape of what comes into a server is made by 'capture'" in result.output


def test_help_lists_capture_alone() -> None:
    commands = [line.split()[0] for line in CliRunner().invoke(main, ["--help"]).output.splitlines() if line.strip()]
    assert "capture" in commands
    assert "record" not in commands
