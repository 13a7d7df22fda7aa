"""Sets in the state: whose what is outlives a restart, old files mean the default set, and the file stays the judge."""

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.config.parser import parse
from mmids_trio.definitions import ReactorDefinition, StepDefinition, WorkflowDefinition
from mmids_trio.errors import ConfigurationError
from mmids_trio.state.record import ReactorsEntry, State, StateEntry, difference, digest_reactors, merge
from mmids_trio.state.text import read, write
from mmids_trio.testing.harness import Harness
from mmids_trio.workflow.status import WorkflowOwner, of_set

NAMES = ("one", "two", "three")
FILE = "state"


def workflow(name: str, key: str = "a") -> WorkflowDefinition:
    return WorkflowDefinition(name, (StepDefinition("rtmp_receive", {"rtmp_app": name, "stream_key": key}),))


def text(name: str, key: str = "a") -> str:
    return f"workflow {name} {{\n    rtmp_receive rtmp_app={name} stream_key={key}\n}}\n"


def state_of(*entries: StateEntry | None) -> State:
    return State({entry.name: entry for entry in entries if entry is not None})


A, B = workflow("live", "a"), workflow("live", "b")


@pytest.mark.parametrize(
    ("in_file", "wanted", "of", "entry"),
    [
        (None, A, "default", StateEntry("live", A)),
        (None, A, None, StateEntry("live", A)),
        (None, A, "team", StateEntry("live", A, set="team")),
        (A, A, None, None),
        (A, None, "team", difference("live", None, A)),
    ],
)
def test_a_set_is_written_down_where_it_does_not_follow(
    in_file: WorkflowDefinition | None, wanted: WorkflowDefinition | None, of: str | None, entry: StateEntry | None
) -> None:
    assert difference("live", wanted, in_file, of) == entry


@pytest.mark.parametrize("of", ["default", "team"])
@pytest.mark.parametrize("wanted", [A, B])
def test_what_was_taken_over_from_the_file_is_the_sets_until_the_file_says_something_else(
    of: str, wanted: WorkflowDefinition
) -> None:
    taken = difference("live", wanted, A, of)
    assert taken is not None
    same = merge([A], state_of(taken))
    assert (same.workflows, same.sets, same.state) == ((wanted,), {"live": of}, state_of(taken))
    gone = merge([], state_of(taken))
    assert (gone.workflows, gone.sets) == ((wanted,), {"live": of})
    assert gone.dropped == ()
    assert gone.state == state_of(difference("live", wanted, None, of))
    changed = merge([workflow("live", "c")], state_of(taken))
    assert (changed.workflows, changed.sets) == ((workflow("live", "c"),), {})
    assert [drop.workflow for drop in changed.dropped] == ["live"]


def test_what_the_file_has_by_now_is_the_files() -> None:
    made = difference("live", A, None, "team")
    assert merge([A], state_of(made)).sets == {}
    assert merge([], state_of(made)).sets == {"live": "team"}


sets = st.sampled_from(["default", "team", "größe/2"])
keys = st.sampled_from("ab")
files = st.dictionaries(st.sampled_from(NAMES), keys).map(
    lambda chosen: {name: workflow(name, key) for name, key in chosen.items()}
)
owned = st.dictionaries(st.sampled_from(NAMES), st.tuples(keys, st.none() | sets))


@given(files, owned)
def test_a_restart_with_the_same_file_leaves_everything_whose_it_is(file: Any, wanted: Any) -> None:
    entries = [
        difference(name, workflow(name, wanted[name][0]), file.get(name), wanted[name][1])
        if name in wanted
        else difference(name, None, file.get(name))
        for name in NAMES
    ]
    state = read(write(state_of(*entries)).data, FILE)
    assert state == state_of(*entries)
    merged = merge(list(file.values()), state)
    assert {one.name: one for one in merged.workflows} == {
        name: workflow(name, key) for name, (key, _) in wanted.items()
    }
    expected = {name: of or ("default" if name not in file else None) for name, (_, of) in wanted.items()}
    assert merged.sets == {name: of for name, of in expected.items() if of is not None}
    assert merged.kept_away == tuple(sorted((name for name in file if name not in wanted), key=NAMES.index))


def test_a_state_file_without_sets_holds_those_of_the_default_one() -> None:
    old = (
        b"# mmids-state version 1\n# mmids-state changed live " + b"0" * 32 + b"\n"
        b"workflow live {\n}\nworkflow made {\n}\n# mmids-state end edited\n"
    )
    state = read(old, FILE)
    assert [(entry.name, entry.owner_set) for entry in state] == [("live", None), ("made", "default")]
    assert b" set " not in write(state).data


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ("set none team", "state:2:1: there is no workflow 'none' in this file"),
        ("reactor-set none team", "state:2:1: there is no reactor 'none' in this file"),
        ("set live", "expected version, changed, deleted, set, reactors, reactor-set or end behind"),
        ("set live a=b", "the name of a set is a plain word"),
        ("set live ..", "a set name cannot be or hold a path segment"),
        ("set live a\n# mmids-state set live b", "state:3:1: the set of workflow 'live' is given already"),
    ],
)
def test_marks_of_sets_that_fit_nothing_are_refused(mark: str, said: str) -> None:
    data = f"# mmids-state version 1\n# mmids-state {mark}\nworkflow live {{\n}}\n# mmids-state end edited\n"
    with pytest.raises(ConfigurationError) as refused:
        read(data.encode(), FILE)
    assert said in str(refused.value)


def test_reactors_belong_to_sets_as_workflows_do() -> None:
    ours, theirs, default = (
        ReactorDefinition(name, "x", set=of) for name, of in (("a", None), ("b", "t"), ("c", None))
    )
    state = State({}, ReactorsEntry((ours, theirs, default), digest_reactors([ours])))
    assert read(write(state).data, FILE) == state
    assert merge([], state, [ours]).reactors == (ours, theirs, evolve(default, set="default"))


def test_another_file_leaves_reactors_of_sets_that_it_says_nothing_of() -> None:
    ours, theirs, default = (
        ReactorDefinition(name, "x", set=of) for name, of in (("a", None), ("b", "t"), ("c", None))
    )
    state = State({}, ReactorsEntry((ours, theirs), digest_reactors([ours])))
    edited = evolve(ours, executor="y")
    merged = merge([], state, [edited])
    assert (merged.reactors, merged.dropped) == ((edited, theirs), ())
    assert merged.state.reactors == ReactorsEntry((edited, theirs), digest_reactors([edited]))
    assert merge([], merged.state, [edited]).state == merged.state
    with_default = State({}, ReactorsEntry((ours, theirs, default), digest_reactors([ours])))
    lost = merge([], with_default, [edited])
    assert (lost.reactors, [drop.workflow for drop in lost.dropped]) == ((edited, theirs), [None])
    assert merge([], state, [evolve(theirs, set=None)]).reactors == (evolve(theirs, set=None),)


def started(path: Path, file: str = "") -> Harness:
    """A server in memory that keeps its state in a file."""
    return Harness(f"settings {{\n    state_path {path}\n}}\n{file}")


@pytest.mark.thorough
async def test_whose_everything_is_outlives_a_restart(tmp_path: Path) -> None:
    file = text("of-file") + text("taken") + text("gone") + text("changed")
    reactor = "reactor r executor=simple_http {\n    url http://127.0.0.1:1/\n}\n"
    async with started(tmp_path / "state", file) as h:
        for query, body in (
            ("&set=a", reactor + text("a1")),
            ("&set=b&take_over=true", text("taken")),
            ("", text("d1")),
        ):
            assert (await h.http.put(f"/config?wait=20{query}", content=body)).status == 200
        await h.http.delete("/workflows/gone")
        assert (await h.http.put("/workflows?wait=20", content=text("changed", "b"))).status == 200
        before = {name: h.workflow(name).owner for name in h.server.workflows.names()}
    assert before == {
        "of-file": WorkflowOwner("config"),
        "taken": of_set("b"),
        "changed": WorkflowOwner("config"),
        "a1": of_set("a"),
        "d1": of_set("default"),
    }
    async with started(tmp_path / "state", file) as h:
        assert {name: h.workflow(name).owner for name in h.server.workflows.names()} == before
        assert [(one.name, one.set) for one in h.server.workflows.reactor_definitions] == [("r", "a")]
        assert "reactor r " in (await h.http.get("/config?set=a")).text
        done = await h.http.put("/config?wait=20&set=a&prune=true", content="# none\n")
        assert done.json()["deleted"] == ["a1"]
        assert done.json()["reactors"] == [{"name": "r", "action": "stop"}]
    async with started(tmp_path / "state", text("of-file")) as h:
        assert h.workflow("taken").owner == of_set("b")
        assert sorted(h.server.workflows.names()) == ["d1", "of-file", "taken"]


async def test_the_state_file_of_a_server_without_sets_says_nothing_of_them(tmp_path: Path) -> None:
    async with started(tmp_path / "state", text("live")) as h:
        assert (await h.http.put("/config?wait=20", content=text("made"))).status == 200
        assert (await h.http.put("/workflows?wait=20", content=text("live", "b"))).status == 200
    lines = (tmp_path / "state").read_text().splitlines()
    assert [line.split()[2] for line in lines if line.startswith("# mmids-state")] == ["version", "changed", "end"]


def test_the_text_of_a_state_with_sets_is_the_ordinary_language() -> None:
    state = state_of(
        difference("live", A, None, "team"), difference("one", workflow("one"), workflow("one"), "default")
    )
    document = parse(write(state).data.decode(), FILE)
    assert (document.problems, document.warnings) == ((), ())
