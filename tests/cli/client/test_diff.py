"""Plans in words: what changes, whom it disconnects, and nothing that is secret."""

from typing import Any

import pytest

from mmids_trio.cli.client.failures import ClientError
from mmids_trio.cli.client.plans import ShownPlan, diff, read_plan, step_text, too_many
from mmids_trio.workflow.plan_summary import clients, summary

PARAMETERS = {"2": {"stream_key": "b", "rtmp_app": "a"}}
"""Of step 2, in the order in which they were written."""


def plan(**parts: Any) -> ShownPlan:
    """A plan with these parts of its document."""
    whole = {"changed": True, "publishers": 0, "watchers": 0, "workflows": [], "deleted": [], "cuts": []}
    return read_plan({**whole, "reactors": [], **parts}, '"tag"')


def view(name: str, actions: dict[str, str], *, created: bool = False, changed: bool = True) -> dict[str, Any]:
    """A workflow of a plan; step ids to actions."""
    steps = [
        {"step_id": step, "step_type": f"type{step}", "action": action, "parameters": PARAMETERS.get(step, {})}
        for step, action in actions.items()
    ]
    return {"workflow": name, "created": created, "changed": changed, "steps": steps}


def cut(workflow: str, step: str, publishers: int, watchers: int) -> dict[str, Any]:
    """A step that stops."""
    counts = {"publishers": publishers, "watchers": watchers}
    return {"workflow": workflow, "step_id": step, "step_type": f"type{step}", **counts, "parameters": {}}


def test_every_step_of_a_workflow_that_changes_is_shown_with_whom_it_disconnects() -> None:
    lines = diff(
        plan(
            publishers=1,
            watchers=42,
            workflows=[
                view("live", {"1": "keep", "2": "start", "3": "stop"}),
                view("new", {"1": "start"}, created=True),
                view("same", {"1": "keep"}, changed=False),
            ],
            deleted=["old"],
            cuts=[cut("live", "3", 0, 40), cut("old", "9", 1, 2)],
            reactors=[{"name": "lookup", "action": "change"}, {"name": "kept", "action": "keep"}],
        )
    )
    assert [str(line) for line in lines] == [
        "~ reactor lookup",
        "~ workflow live",
        "    = type1",
        "    + type2 stream_key=b rtmp_app=a",
        "    - type3   disconnects 40 watchers",
        "+ workflow new",
        "    + type1",
        "- workflow old",
        "    - type9   disconnects 1 publisher and 2 watchers",
        "workflows: 1 new, 1 changed, 1 stopped, 1 unchanged; reactors: 1 changed;"
        " disconnects 1 publisher and 42 watchers",
    ]


def test_values_that_could_be_taken_for_words_of_the_plan_stand_in_quotes() -> None:
    step = {**view("w", {"1": "start"})["steps"][0], "step_id_before": "0"}
    step["changes"] = [
        {"name": "title", "before": "a b", "after": ""},
        {"name": "rtmps", "before": None, "after": True},
        {"name": "word", "before": "(none)", "after": None},
        {"name": "password", "before": "one", "after": "two"},
    ]
    line = list(diff(plan(workflows=[{**view("w", {}), "steps": [step]}])))[1]
    assert line.note == ('title "a b" -> "", rtmps (none) -> (set), word "(none)" -> (none), password *** -> ***')


def test_what_is_kept_started_and_stopped_has_colours_of_its_own() -> None:
    lines = list(diff(plan(workflows=[view("w", {"1": "keep", "2": "start", "3": "stop"})])))
    assert [line.style for line in lines] == ["bold yellow", "dim", "green", "red", "bold"]


def test_a_change_that_keeps_all_steps_says_why_it_is_one() -> None:
    line, *_ = diff(plan(workflows=[view("w", {"1": "keep"})]))
    assert line.note == "reordered, or restarted after a failure"


def test_no_change_is_one_line() -> None:
    nothing = plan(changed=False, workflows=[view("w", {"1": "keep"}, changed=False)])
    assert [str(line) for line in diff(nothing)] == ["No changes: 1 workflow is up to date"]
    assert summary(plan(changed=False)) == "No changes: 0 workflows are up to date"


def test_what_a_server_names_cannot_command_the_terminal() -> None:
    lines = diff(plan(workflows=[view("\x1b[2Jw", {})], deleted=["\x9bx"]))
    assert not any("\x1b" in str(line) or "\x9b" in str(line) for line in lines)


def test_the_exit_status_tells_changes_from_none() -> None:
    assert (plan(changed=False).exit_status, plan().exit_status) == (0, 2)


@pytest.mark.parametrize(("allowed", "refused"), [(None, False), (4, False), (3, False), (2, True), (0, True)])
def test_more_clients_than_allowed_are_too_many(allowed: int | None, refused: bool) -> None:
    reason = too_many(plan(publishers=1, watchers=2), allowed)
    assert (reason is not None) == refused
    assert reason is None or "disconnect 1 publisher and 2 watchers" in reason


def test_clients_are_counted_in_words() -> None:
    assert [clients(*each) for each in ((0, 0), (1, 0), (0, 2), (2, 1))] == [
        "nobody",
        "1 publisher",
        "2 watchers",
        "2 publishers and 1 watcher",
    ]


@pytest.mark.parametrize("document", [None, [], {}, {"changed": True}, "plan"])
def test_what_is_no_plan_is_an_error_in_words(document: Any) -> None:
    with pytest.raises(ClientError, match="is this the HTTP API"):
        read_plan(document)


def test_a_plan_of_a_newer_server_may_say_more() -> None:
    document = {**plan(cuts=[{**cut("w", "1", 0, 0), "novelty": 1}]).document, "more": {}}
    assert read_plan(document).cuts[0].step_id == "1"


@pytest.mark.parametrize(
    ("parameters", "shown"),
    [
        ({"target": "rtmp://user:pass@host/app/key"}, "step target=rtmp://***@host/app/***"),
        ({"target": "https://host/x?token=1"}, "step target=https://host/x?***"),
        ({"tls_cert_password": "abc", "rtmps": None}, "step tls_cert_password=*** rtmps"),
        ({"stream_key": "seen", "play_key": "abc"}, "step stream_key=seen play_key=***"),
        ({"path": "two words"}, 'step path="two words"'),
        ({"path": "\x1b[2J"}, 'step path="\\x1b[2J"'),
        ({"path": "line\nfeed"}, "step {'path': 'line\\nfeed'}"),
    ],
)
def test_a_step_is_shown_without_its_secrets(parameters: dict[str, str | None], shown: str) -> None:
    assert step_text("step", parameters) == shown
