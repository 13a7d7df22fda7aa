"""A report on steps is bounded, together with what is wrong with the text that they stand in."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mmids_trio.config.report import MAX_PROBLEMS, TOO_MANY
from mmids_trio.config.settings import Settings
from mmids_trio.definitions import StepDefinition, WorkflowDefinition
from mmids_trio.errors import ConfigurationError
from mmids_trio.reload.configuration_file import load
from mmids_trio.server.building import build_server
from mmids_trio.steps.registry import StepRegistry

Problems = Callable[..., list[tuple[int, int, str]]]


def test_steps_are_not_checked_once_a_report_is_full(registry: StepRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_for: list[str] = []

    def did_you_mean(word: str, _known: object) -> str:
        looked_for.append(word)
        return "; what?"

    monkeypatch.setattr("mmids_trio.steps.registry.did_you_mean", did_you_mean)
    definition = WorkflowDefinition("w", (StepDefinition("x"),) * 5_000)
    with pytest.raises(ConfigurationError) as caught:
        registry.validate(definition)
    assert len(caught.value.problems) == len(looked_for) == MAX_PROBLEMS + 1
    assert caught.value.problems[-1].message == TOO_MANY


@pytest.mark.parametrize("faults", [MAX_PROBLEMS - 2, MAX_PROBLEMS, MAX_PROBLEMS + 5])
def test_text_and_steps_share_one_report(faults: int, registry: StepRegistry, tmp_path: Path) -> None:
    file = tmp_path / "mmids.config"
    file.write_text("workflow v {\n" + "unknown\n" * 3 + "}\nworkflow w {\n" + "=\n" * faults + "}\n")
    with pytest.raises(ConfigurationError) as caught:
        load(file, lambda document: build_server(Settings(), document.reactors))
    messages = [problem.message for problem in caught.value.problems]
    assert len(messages) == MAX_PROBLEMS + 1
    assert messages.index(TOO_MANY) == MAX_PROBLEMS


@pytest.mark.parametrize(
    "step",
    [
        "y" * 60_000,
        "rtmp_watch rtmp_app=a stream_key=k " + "y" * 60_000,
        "rtmp_watch rtmp_app=a stream_key=k port=" + "y" * 60_000,
        "rtmp_watch rtmp_app=a stream_key=k allow_ips=" + "y" * 60_000,
        "rtmp_watch rtmp_app=a stream_key=k rtmps=" + "y" * 60_000,
    ],
    ids=["type", "name", "number", "network", "flag"],
)
def test_a_message_repeats_a_word_of_any_length_only_in_part(step: str, problems_of: Problems) -> None:
    [(_, _, message)] = problems_of(step)
    assert "…" in message
    assert len(message) < 600
