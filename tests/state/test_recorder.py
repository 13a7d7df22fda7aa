"""What is remembered of changes over the API: from their acceptance on, and nothing of those that came to nothing."""

from attrs import define, evolve, field

from mmids_trio.definitions import ReactorDefinition, StepDefinition, WorkflowDefinition
from mmids_trio.state.record import ReactorsEntry, State, difference, digest_reactors, merge
from mmids_trio.state.recorder import ChangeRecorder
from mmids_trio.workflow.status import WorkflowOwner

REACTOR = ReactorDefinition("lookup", "simple_http", 60, {"url": "http://127.0.0.1:9/a"})


def workflow(name: str, key: str = "a") -> WorkflowDefinition:
    return WorkflowDefinition(name, (StepDefinition("rtmp_receive", {"rtmp_app": "live", "stream_key": key}),))


@define(eq=False)
class Running:
    owners: dict[str, WorkflowOwner] = field(factory=dict)
    definitions: dict[str, WorkflowDefinition] = field(factory=dict)
    reactor_definitions: tuple[ReactorDefinition, ...] = ()

    def owner(self, name: str) -> WorkflowOwner | None:
        return self.owners.get(name)

    def definition(self, name: str) -> WorkflowDefinition | None:
        return self.definitions.get(name)


@define(eq=False)
class Desk:
    """A recorder over a file with one workflow `live`, and what it has saved since."""

    running: Running = field(factory=Running)
    saved: list[State] = field(factory=list)
    recorder: ChangeRecorder = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.recorder = ChangeRecorder(self.running, self.saved.append)
        self.recorder.begin([workflow("live")], merge([workflow("live")], State()))
        self.saved.clear()


def test_what_counts_at_the_start_is_saved_without_what_the_file_has_overruled() -> None:
    saved: list[State] = []
    kept = State().put("new", difference("new", workflow("new"), None))
    known = kept.put("live", difference("live", workflow("live", "b"), workflow("live", "c")))
    ChangeRecorder(Running(), saved.append).begin([workflow("live")], merge([workflow("live")], known))
    assert saved == [kept]


def test_a_new_workflow_is_remembered_until_it_is_deleted() -> None:
    desk = Desk()
    desk.recorder.accept("new", workflow("new"))
    assert desk.recorder.state.get("new") == difference("new", workflow("new"), None)
    desk.recorder.accept("new", None)
    assert [len(state.entries) for state in desk.saved] == [1, 0]


def test_a_workflow_of_the_file_is_remembered_as_changed_and_as_deleted() -> None:
    desk = Desk()
    for wanted in (workflow("live", "b"), None):
        desk.recorder.accept("live", wanted)
        assert desk.recorder.state.get("live") == difference("live", wanted, workflow("live"))


def test_what_is_changed_back_is_no_change() -> None:
    desk = Desk()
    desk.recorder.accept("live", workflow("live", "b"))
    desk.recorder.accept("live", workflow("live"))
    assert desk.saved[-1] == State()


def test_what_is_the_same_is_not_saved_again() -> None:
    desk = Desk()
    for _ in range(3):
        desk.recorder.accept("live", workflow("live", "b"))
    desk.recorder.accept("none", None)
    assert len(desk.saved) == 1


def test_workflows_of_reactors_are_not_remembered() -> None:
    desk = Desk()
    desk.running.owners["leased"] = WorkflowOwner("reactor", "lookup", "stream")
    desk.recorder.accept("leased", workflow("leased"))
    assert desk.saved == []


def test_a_workflow_of_a_reactor_that_no_set_took_over_after_all_is_forgotten() -> None:
    desk = Desk()
    desk.running.owners["leased"] = WorkflowOwner("reactor", "lookup", "stream")
    desk.recorder.accept("leased", workflow("leased"), "team")
    assert list(desk.recorder.state.entries) == ["leased"]
    desk.recorder.settle("leased")
    assert desk.saved[-1] == State()


def test_a_change_that_was_rolled_back_is_taken_back() -> None:
    desk = Desk()
    desk.running.definitions["live"] = workflow("live", "b")
    desk.recorder.accept("live", workflow("live", "b"))
    desk.recorder.accept("live", workflow("live", "c"))
    desk.recorder.settle("live")
    assert desk.saved[-1].get("live") == difference("live", workflow("live", "b"), workflow("live"))


def test_a_creation_that_was_rolled_back_leaves_nothing() -> None:
    desk = Desk()
    desk.recorder.accept("new", workflow("new"))
    desk.recorder.settle("new")
    assert desk.saved[-1] == State()


def test_another_file_overrules_what_was_changed() -> None:
    desk = Desk()
    desk.recorder.accept("live", workflow("live", "b"))
    desk.recorder.accept("new", workflow("new"))
    file = [workflow("live", "c")]
    desk.recorder.rebase(file, merge(file, desk.recorder.state))
    assert list(desk.recorder.state.entries) == ["new"]
    desk.recorder.accept("live", workflow("live", "d"))
    assert desk.recorder.state.get("live") == difference("live", workflow("live", "d"), file[0])


def test_a_reload_that_failed_brings_back_what_it_had_overruled() -> None:
    desk = Desk()
    desk.recorder.accept("live", workflow("live", "b"))
    before = desk.recorder.state
    file = [workflow("live", "c")]
    desk.recorder.restore(desk.recorder.rebase(file, merge(file, before)))
    assert desk.recorder.state == before
    assert desk.recorder.file_names == {"live"}


def test_what_was_changed_during_a_reload_that_failed_stays_as_it_was_changed() -> None:
    desk = Desk()
    desk.recorder.accept("live", workflow("live", "b"))
    file = [workflow("live", "c"), workflow("more")]
    basis = desk.recorder.rebase(file, merge(file, desk.recorder.state))
    desk.recorder.accept("live", workflow("live", "d"))
    desk.recorder.accept("more", workflow("more", "d"))
    desk.recorder.restore(basis)
    assert desk.recorder.state.get("live") == difference("live", workflow("live", "d"), workflow("live"))
    assert desk.recorder.state.get("more") == difference("more", workflow("more", "d"), None)


def test_reactors_are_remembered_as_a_whole_until_they_are_those_of_the_file_again() -> None:
    desk = Desk()
    desk.recorder.accept_reactors([REACTOR])
    assert desk.saved[-1].reactors == ReactorsEntry((REACTOR,), digest_reactors(()))
    desk.recorder.accept_reactors([])
    assert desk.saved[-1] == State()


def test_reactors_that_came_to_nothing_are_taken_back() -> None:
    desk = Desk()
    desk.recorder.settle_reactors(desk.recorder.accept_reactors([REACTOR]))
    assert desk.recorder.state == State()


def test_of_two_changes_of_reactors_that_come_to_nothing_neither_is_remembered() -> None:
    desk = Desk()
    first = desk.recorder.accept_reactors([REACTOR])
    second = desk.recorder.accept_reactors([evolve(REACTOR, update_interval=5)])
    desk.recorder.settle_reactors(first)
    assert desk.recorder.state.reactors is not None
    desk.recorder.settle_reactors(second)
    assert desk.recorder.state == State()


def test_reactors_asked_for_during_a_reload_that_failed_differ_from_the_file_of_before() -> None:
    desk = Desk()
    other = [evolve(REACTOR, update_interval=5)]
    basis = desk.recorder.rebase([workflow("live")], merge([workflow("live")], State(), other), other)
    desk.recorder.accept_reactors([REACTOR])
    desk.recorder.restore(basis)
    assert desk.recorder.state.reactors == ReactorsEntry((REACTOR,), digest_reactors(()))


def test_the_reactors_of_another_file_are_no_change_of_it() -> None:
    desk = Desk()
    desk.recorder.rebase([workflow("live")], merge([workflow("live")], State(), [REACTOR]), [REACTOR])
    desk.recorder.accept_reactors([REACTOR])
    assert desk.recorder.state == State()
    desk.recorder.accept_reactors([])
    assert desk.recorder.state.reactors == ReactorsEntry((), digest_reactors([REACTOR]))


def test_another_file_overrules_reactors_and_a_reload_that_failed_brings_them_back() -> None:
    desk = Desk()
    desk.recorder.accept_reactors([REACTOR])
    desk.running.reactor_definitions = (REACTOR,)
    before = desk.recorder.state
    other = [evolve(REACTOR, update_interval=5)]
    merged = merge([], before, other)
    assert (merged.reactors, merged.state.reactors) == (tuple(other), None)
    assert [str(drop) for drop in merged.dropped] == [
        "the reactors were changed over the API, but have changed in the configuration file since, which counts"
    ]
    desk.recorder.restore(desk.recorder.rebase([], merged, other))
    assert desk.recorder.state == before
    assert merge([], before, []).reactors == (evolve(REACTOR, set="default"),)
