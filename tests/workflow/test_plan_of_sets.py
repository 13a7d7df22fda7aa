"""What is wrong with a set, what of it others have, and whom it would disconnect; pure."""

from collections.abc import Sequence

import pytest

from mmids_trio.definitions import ReactorDefinition, StepDefinition, WorkflowDefinition
from mmids_trio.workflow.plan import (
    SetPlan,
    StepCut,
    WorkflowSet,
    cuts,
    foreign,
    leaves_nothing,
    name_conflicts,
    prunable,
    reactor_conflicts,
    reactors_taken,
    stops_everything,
)
from mmids_trio.workflow.status import (
    BY_API,
    Clients,
    PlannedStep,
    PlanView,
    StepStatus,
    WorkflowOwner,
    WorkflowStatus,
    of_set,
)

FILE, TEAM = WorkflowOwner("config", "mmids.config"), of_set("team")
OF_REACTOR = WorkflowOwner("reactor", "desk", stream="show")
ASKING = WorkflowDefinition("asks", (StepDefinition("receive", {"reactor": "desk"}),))
SILENT = WorkflowDefinition("silent", (StepDefinition("receive", {}),))


def flow(name: str) -> WorkflowDefinition:
    return WorkflowDefinition(name, ())


def reactor(name: str, of: str | None) -> ReactorDefinition:
    return ReactorDefinition(name, "toy", set=of)


@pytest.mark.parametrize(
    ("deleted", "started", "running", "nothing_is_left"),
    [
        (("a", "b"), (), ("a", "b"), True),
        (("a", "b"), (), ("a",), True),
        (("a",), (), ("a", "b"), False),
        (("a", "b"), ("c",), ("a", "b"), False),
        ((), (), (), False),
    ],
)
def test_a_set_leaves_nothing_where_it_stops_all_and_starts_none(
    deleted: tuple[str, ...], started: tuple[str, ...], running: Sequence[str], nothing_is_left: bool
) -> None:
    plan = SetPlan(tuple(PlanView(name, created=True, changed=True, steps=()) for name in started), deleted)
    assert leaves_nothing(plan, running) is nothing_is_left


@pytest.mark.parametrize(
    ("count", "owner", "words"),
    [
        (1, FILE, "the only workflow of the configuration file; nothing"),
        (2, TEAM, "all 2 workflows of the set 'team' of the HTTP API; nothing"),
    ],
)
def test_a_refusal_says_how_many_workflows_of_whom_would_stop(count: int, owner: WorkflowOwner, words: str) -> None:
    said = stops_everything(count, owner, "the file has no workflow")
    assert said.startswith(f"the file has no workflow, which would stop {words} was changed")


def test_what_is_pruned_is_ones_own_and_not_kept() -> None:
    owners = {"kept": TEAM, "old": TEAM, "default": BY_API, "file": FILE}
    assert prunable(["kept"], TEAM, owners) == ("old",)
    assert prunable([], WorkflowOwner("config", "renamed.config"), owners) == ("file",)


def test_a_name_is_defined_once_and_not_deleted_as_well() -> None:
    reactors = (reactor("r", None), reactor("s", None), reactor("s", None))
    wanted = WorkflowSet((flow("a"), flow("b"), flow("a"), flow("c")), ("b", "other"), reactors)
    assert list(name_conflicts(wanted)) == [
        "workflow 'a' is defined 2 times",
        "workflow 'b' is defined and deleted at once",
        "reactor 's' is defined 2 times",
    ]


OWNERS = {"own": TEAM, "of_file": FILE, "of_default": BY_API, "of_reactor": OF_REACTOR}
REACTORS = [reactor("of_file", None), reactor("own", "team"), reactor("of_other", "other"), reactor("unasked", None)]
ASKED = tuple(reactor(name, "team") for name in ("own", "of_file", "of_other", "new"))


def names_of(problems: Sequence[str]) -> list[str]:
    return [" ".join(problem.split()[:2]) for problem in problems]


def test_what_others_have_is_left_out_or_taken_over() -> None:
    wanted = WorkflowSet(tuple(map(flow, [*OWNERS, "new"])), reactors=ASKED, owner=TEAM)
    assert names_of(list(foreign(wanted, OWNERS, REACTORS))) == [
        "workflow 'of_file'",
        "workflow 'of_default'",
        "workflow 'of_reactor'",
        "reactor 'of_file'",
        "reactor 'of_other'",
    ]
    taking = WorkflowSet(wanted.definitions, reactors=ASKED, owner=TEAM, take_over=True)
    assert list(foreign(taking, OWNERS, REACTORS)) == []


def test_the_configuration_file_has_the_last_word_over_sets_but_not_over_reactors() -> None:
    wanted = WorkflowSet(tuple(map(flow, OWNERS)), reactors=ASKED, owner=FILE)
    assert names_of(list(foreign(wanted, OWNERS, REACTORS))) == ["workflow 'of_reactor'"]


def test_reactors_are_taken_from_whoever_has_them() -> None:
    wanted = WorkflowSet(reactors=ASKED, owner=TEAM)
    assert list(reactors_taken(wanted, REACTORS)) == [
        ("of_file", WorkflowOwner("config")),
        ("of_other", of_set("other")),
    ]
    assert list(reactors_taken(WorkflowSet(owner=TEAM), REACTORS)) == []


def test_a_reactor_that_is_asked_stays() -> None:
    conflict = "reactor 'desk' cannot be removed: workflow 'asks' asks it"
    assert list(reactor_conflicts(["desk", "unused"], [ASKING, SILENT])) == [conflict]
    assert list(reactor_conflicts(["unused"], [ASKING])) == []
    assert list(reactor_conflicts([], [ASKING])) == []


STEPS = tuple(
    StepStatus(step_id, "watch", {"app": step_id}, "Active", clients=Clients(publishers=1, watchers=2))
    for step_id in ("kept", "stopped", "changed")
)
STATUS = WorkflowStatus("Running", STEPS, ())


def test_a_step_that_stops_cuts_all_and_one_that_changes_those_whom_it_excludes() -> None:
    steps = (PlannedStep("kept", "watch", "keep", {}), PlannedStep("stopped", "watch", "stop", {}))
    plan = PlanView("w", created=False, changed=True, steps=steps)
    found = list(cuts(STATUS, plan, "w", excluded={"changed": Clients(watchers=1)}))
    assert found == [
        StepCut("w", "stopped", "watch", 1, 2, {"app": "stopped"}),
        StepCut("w", "changed", "watch", 0, 1, {"app": "changed"}, of=Clients(1, 2)),
    ]
    assert [cut.step_id for cut in cuts(STATUS, None, "w")] == ["kept", "stopped", "changed"]
