"""The program's own command line: help, commands that are misspelt, what stands before a command, completion."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmids_trio.__main__ import COMMANDS
from tests.support.commands import invoke

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["", *(name for name in COMMANDS if name != "record")])
def test_help_has_a_short_name_everywhere(name: str) -> None:
    words = [name] if name else []
    short, long = invoke(*words, "-h"), invoke(*words, "--help")
    assert (short.status, short.out) == (0, long.out)
    assert "-h, --help" in short.out


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("chekc", "x"), "there is no command 'chekc'; did you mean 'check'?"),
        (("sign_play_url",), "did you mean 'sign-play-url'?"),
        (("nonsense",), "there is no command 'nonsense'; --help lists the commands"),
        ((str(ROOT / "examples" / "simple.mmids"),), "to run the file, say --config "),
    ],
)
def test_a_word_that_is_no_command_is_told_with_what_was_meant(words: tuple[str, ...], hint: str) -> None:
    done = invoke(*words)
    assert done.status != 0
    assert hint in done.err


def test_json_may_stand_before_a_command_that_needs_no_server() -> None:
    assert invoke("--json", "check", str(ROOT / "examples" / "simple.mmids")).document["problems"] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--server", "x", "check", "x"), "the command 'check' takes no --server"),
        (("--json", "replay", "x"), "the command 'replay' takes no --json"),
        (("--token", "x"), "a server that starts takes no --token"),
    ],
)
def test_what_a_command_does_not_take_is_an_error_before_it_too(words: tuple[str, ...], message: str) -> None:
    done = invoke(*words)
    assert done.status != 0
    assert message in done.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_what_makes_it_complete(shell: str) -> None:
    done = invoke("completion", shell)
    assert done.status == 0
    assert f"_MMIDS_TRIO_COMPLETE={shell}_complete" in done.out


@pytest.mark.thorough
def test_a_shell_completes_commands_and_their_options(tmp_path: Path) -> None:
    installed = tmp_path / "mmids_trio"
    call = "from mmids_trio.__main__ import main; main(prog_name='mmids_trio')"
    installed.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{call}" "$@"\n')
    installed.chmod(0o755)
    script = """
        eval "$(mmids_trio completion bash)"
        for line in "mmids_trio rel" "mmids_trio wait --ti"; do
            COMPREPLY=() COMP_WORDS=($line) COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            _mmids_trio_completion mmids_trio
            echo "${COMPREPLY[@]}"
        done
    """
    variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", script], env=variables, capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (["reload", "--timeout"], "")
