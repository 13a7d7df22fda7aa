"""The list of changes: what stands in it, what never does, its bounds, and the file that keeps it."""

import json
from pathlib import Path

import pytest
import trio
from attrs import evolve
from structlog.testing import capture_logs
from trio.testing import wait_all_tasks_blocked

from mmids_trio.config import writer
from mmids_trio.config.parser import parse_workflow
from mmids_trio.config.settings import Settings
from mmids_trio.definitions import Resolved, StepDefinition, Variable, WorkflowDefinition
from mmids_trio.server.building import build_server
from mmids_trio.state import history as subject
from mmids_trio.state.history import MAX_TEXT, MOST_CHANGES, MOST_KICKS, MOST_WORKFLOWS, ChangeHistory, ChangeRecord
from mmids_trio.state.history_file import SUFFIX, HistoryFile
from mmids_trio.testing.harness import inline
from mmids_trio.workflow.events import HubEvent, WorkflowChanged
from mmids_trio.workflow.plan import SetPlan
from mmids_trio.workflow.status import Outcome, OutcomeKind, PlannedStep, PlanView

STEPS = build_server(Settings()).steps
APPLIED = Outcome(OutcomeKind.APPLIED, "")
TEXT = """workflow show {
    rtmp_receive rtmp_app=live stream_key=s3cret-key publish_token=s3cret-token
    rtmp_push target=rtmp://user:s3cret-pass@127.0.0.1/app/s3cret-target
}
"""


def workflow(name: str = "show", text: str = "rtmp_receive rtmp_app=live stream_key=a") -> WorkflowDefinition:
    return STEPS.validate(parse_workflow(f"workflow {name} {{\n    {text}\n}}\n", "test"))


def plan(name: str = "show", *, created: bool = False) -> PlanView:
    steps = (PlannedStep("1", "a", "start"), PlannedStep("2", "b", "stop"), PlannedStep("3", "c", "keep"))
    return PlanView(name, created=created, changed=True, steps=steps)


def newest_first(history: ChangeHistory) -> list[ChangeRecord]:
    """With their texts."""
    assert history.newest_first() == [kept.summary for kept in reversed(history.all())]
    return [kept.record for kept in reversed(history.all())]


def note(history: ChangeHistory, name: str = "show") -> None:
    history.note(plan(name), {name: None}, {name: workflow(name)}, by="anna")(APPLIED)


def test_a_change_stands_there_from_when_it_is_accepted() -> None:
    told: list[HubEvent] = []
    history = ChangeHistory(lambda: "now", publish=told.append)
    before, after = workflow(), workflow(text="rtmp_receive rtmp_app=live stream_key=*")
    over = history.note(plan(), {"show": before}, {"show": after}, by="anna")
    [record] = newest_first(history)
    assert (record.time, record.by, record.via, record.outcome) == ("now", "anna", "api", "pending")
    assert record.before == 'workflow show {\n    rtmp_receive rtmp_app=live stream_key="***"\n}\n'
    assert record.after == "workflow show {\n    rtmp_receive rtmp_app=live stream_key=*\n}\n"
    assert told == []
    over(Outcome(OutcomeKind.APPLIED, "done"))
    [record] = newest_first(history)
    assert (record.outcome, record.message) == ("applied", "done")
    assert told == [WorkflowChanged("show", "anna", "change", 1, 0, 1, record.id)]


@pytest.mark.parametrize("kind", [kind for kind in OutcomeKind if kind is not OutcomeKind.APPLIED])
def test_what_was_not_put_in_place_is_no_event(kind: OutcomeKind) -> None:
    told: list[HubEvent] = []
    history = ChangeHistory(publish=told.append)
    history.note(plan(), {}, {}, by="anna")(Outcome(kind, "why"))
    assert [record.outcome for record in newest_first(history)] == [kind.value]
    assert told == []


def test_what_changes_nothing_is_no_change() -> None:
    history = ChangeHistory()
    unchanged = PlanView("show", created=False, changed=False, steps=())
    history.note(SetPlan((unchanged,)), {}, {}, by="anna")(APPLIED)
    assert newest_first(history) == []


def test_no_secret_gets_there() -> None:
    history = ChangeHistory()
    secret = STEPS.validate(parse_workflow(TEXT, "test"))
    history.note(plan(), {"show": secret}, {"show": secret}, by="anna")
    [record] = newest_first(history)
    assert "publish_token=*** " in record.before.replace("\n", " ")
    assert "s3cret" not in repr(record)


@pytest.mark.thorough
def test_the_newest_are_kept() -> None:
    history = ChangeHistory()
    for number in range(MOST_CHANGES + 5):
        note(history, f"w{number}")
    records = newest_first(history)
    assert len(records) == MOST_CHANGES
    assert records[0].is_about(f"w{MOST_CHANGES + 4}")
    assert records[-1].is_about("w5")
    assert history.get("5") is None


def test_the_texts_of_a_large_configuration_are_held_packed_and_what_two_changes_share_once() -> None:
    history = ChangeHistory()
    steps = "\n    ".join(f"rtmp_watch rtmp_app=app{number} stream_key=*" for number in range(200))
    one, other = workflow(text=steps), workflow(text=steps.replace("app7 ", "seven "))
    history.note(plan(), {"show": one}, {"show": other}, by="anna")(APPLIED)
    history.note(plan(), {"show": other}, {"show": one}, by="anna")(APPLIED)
    first, second = history.all()
    assert len(first._before) + len(first._after) < first.size / 8
    assert (first._after is second._before, first._before is second._after) == (True, True)
    assert first.record.after == second.record.before != first.record.before


def test_who_kicks_all_day_pushes_out_no_change_of_the_configuration() -> None:
    history = ChangeHistory()
    note(history)
    for number in range(MOST_CHANGES):
        history.note_kick("show", f"watcher {number} was sent away", by="anna", watchers=1)
    records = newest_first(history)
    assert [record.is_kick for record in records] == [True] * MOST_KICKS + [False]
    assert records[0].message == f"watcher {MOST_CHANGES - 1} was sent away"
    again = ChangeHistory()
    again.load(reversed(records))
    again.note_kick("show", "one more", by="anna", watchers=1)
    assert len(newest_first(again)) == MOST_KICKS + 1


@pytest.mark.thorough
def test_texts_are_bounded_each_and_all_together(monkeypatch: pytest.MonkeyPatch) -> None:
    history = ChangeHistory()
    names = [f"w{number}" for number in range(2_000)]
    definitions = {name: workflow(name) for name in names}
    whole = SetPlan(tuple(plan(name, created=True) for name in names))
    history.note(whole, {}, definitions, by="anna")
    [record] = newest_first(history)
    assert MAX_TEXT / 2 < len(record.after) <= MAX_TEXT + 100
    assert record.after.endswith(subject.CUT)
    assert (len(record.workflows), record.more_workflows) == (MOST_WORKFLOWS, 2_000 - MOST_WORKFLOWS)
    monkeypatch.setattr(subject, "MOST_BYTES", 4 * MAX_TEXT)
    for _ in range(5):
        history.note(whole, {}, definitions, by="anna")
    assert [record.id for record in newest_first(history)] == ["6", "5", "4"]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state.mmids"


async def run_with(state: Path, *names: str, ends: bool = True) -> list[ChangeRecord]:
    """What a run of a server has at its start, which then makes these changes."""
    history = ChangeHistory()
    file = HistoryFile.beside(state, history, inline)
    async with trio.open_nursery() as nursery:
        await nursery.start(file.run)
        found = newest_first(history)
        for name in names:
            over = history.note(plan(name), {name: None}, {name: workflow(name)}, by="anna")
            if ends:
                over(APPLIED)
        await file.flush()
        nursery.cancel_scope.cancel()
    return found


async def test_changes_are_there_after_a_restart_and_ids_go_on(state: Path) -> None:
    assert await run_with(state, "a", "b") == []
    first = await run_with(state, "c")
    assert [(record.id, record.workflows[0].workflow, record.outcome) for record in first] == [
        ("2", "b", "applied"),
        ("1", "a", "applied"),
    ]
    assert [record.id for record in await run_with(state)] == ["3", "2", "1"]
    assert state.with_name(state.name + SUFFIX).stat().st_mode & 0o777 == 0o600


async def test_of_a_change_that_was_under_way_at_the_end_nobody_knows(state: Path) -> None:
    await run_with(state, "a", ends=False)
    [record] = await run_with(state)
    assert record.outcome == "unknown"


@pytest.mark.parametrize(
    "damage", [b'{"id": "2", "time', b"\xff\n", b"[]\n", b'{"id": 1}\n', b"[" * 100_000 + b"\n", b"{}\n\n"]
)
async def test_lines_that_a_crash_or_an_editor_left_are_passed_over(state: Path, damage: bytes) -> None:
    await run_with(state, "a")
    with state.with_name(state.name + SUFFIX).open("ab") as file:
        file.write(damage)
    assert [record.id for record in await run_with(state, "b")] == ["1"]
    assert [record.id for record in await run_with(state)] == ["2", "1"]


@pytest.mark.thorough
async def test_the_file_does_not_grow_for_ever(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmids_trio.state.history_file.ANEW_FROM", 20_000)
    monkeypatch.setattr(subject, "MOST_CHANGES", 10)
    path = state.with_name(state.name + SUFFIX)
    history = ChangeHistory()
    file = HistoryFile.beside(state, history, inline)
    async with trio.open_nursery() as nursery:
        await nursery.start(file.run)
        for number in range(200):
            note(history, f"w{number}")
            await wait_all_tasks_blocked()
            assert path.stat().st_size < 21_000
        nursery.cancel_scope.cancel()
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()][-1] == "200"


async def test_a_disk_that_takes_nothing_is_told_of_once_and_changes_go_on(state: Path) -> None:
    history = ChangeHistory()
    file = HistoryFile.beside(state / "nowhere" / "state", history, inline)
    with capture_logs() as lines:
        async with trio.open_nursery() as nursery:
            await nursery.start(file.run)
            for name in ("a", "b", "c"):
                note(history, name)
                await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert [line["event"] for line in lines] == ["the history of changes cannot be kept"]
    assert len(newest_first(history)) == 3


def test_a_value_that_comes_from_outside_by_now_is_hidden_from_then_on() -> None:
    history = ChangeHistory()
    literal = workflow(text="rtmp_receive rtmp_app=live stream_key=*")
    [step] = literal.steps
    outside = evolve(step, parameters={**step.parameters, "rtmp_app": Resolved([Variable("APP", "live")])})
    assert outside == step
    history.note(plan(), {"show": literal}, {"show": evolve(literal, steps=(outside,))}, by="anna")
    [record] = newest_first(history)
    assert "rtmp_app=live" in record.before
    assert "rtmp_app=live" not in record.after


def test_steps_that_stay_are_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    history, written = ChangeHistory(), []

    def write_step(step: StepDefinition) -> str:
        written.append(step.step_type)
        return writer.write_step(step)

    monkeypatch.setattr(subject, "write_step", write_step)
    first, second = "rtmp_receive rtmp_app=live stream_key=a", "rtmp_watch rtmp_app=live stream_key=*"
    one = workflow(text=f"{first}\n    {second}")
    other = workflow(text=f"{first}\n    {second}\n    rtmp_watch rtmp_app=more stream_key=*")
    history.note(plan(), {"show": one}, {"show": other}, by="anna")
    assert written == ["rtmp_receive", "rtmp_watch", "rtmp_watch"]
    assert newest_first(history)[0].after.count("rtmp_watch") == 2


def test_what_a_program_made_and_the_language_cannot_say_has_a_line_in_its_place() -> None:
    history = ChangeHistory()
    made = WorkflowDefinition("show", (StepDefinition("rtmp_watch", {"rtmp_app": "two\nlines"}),))
    for _ in range(2):  # the second time it is known
        history.note(plan(), {"show": made}, {"show": workflow()}, by="anna")(APPLIED)
    assert [record.before for record in newest_first(history)] == [
        "# workflow 'show', which the language cannot express\n"
    ] * 2


def test_the_newest_change_stays_however_large_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    history = ChangeHistory()
    monkeypatch.setattr(subject, "MOST_BYTES", 1)
    for number in range(3):
        note(history, f"w{number}")
        assert [record.id for record in newest_first(history)] == [str(number + 1)]
