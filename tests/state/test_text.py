"""The text of a state: what is written is read, and nothing but a whole text is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.config.parser import parse
from mmids_trio.definitions import ReactorDefinition, StepDefinition, WorkflowDefinition
from mmids_trio.errors import ConfigurationError
from mmids_trio.state.record import ReactorsEntry, State, StateEntry
from mmids_trio.state.text import read, write

FILE = "state.mmids"
values = st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\0"), max_size=20)
steps = st.builds(
    StepDefinition,
    st.sampled_from(["rtmp_receive", "größe"]),
    st.dictionaries(st.sampled_from(["a", "b", "mmids-state"]), values, max_size=3),
)
definitions = st.builds(
    lambda steps, routed: WorkflowDefinition("?", tuple(steps), routed), st.lists(steps, max_size=3), st.booleans()
)
bases = definitions.map(lambda definition: definition.digest)


@st.composite
def states(draw: st.DrawFn) -> State:
    entries = []
    for name in draw(st.lists(st.sampled_from(["one", "two", "a/b", "größe", "mmids-state"]), unique=True)):
        drawn = draw(st.none() | definitions)
        definition = None if drawn is None else WorkflowDefinition(name, drawn.steps, drawn.routed_by_reactor)
        base = draw(bases) if definition is None else draw(st.none() | bases)
        entries.append(StateEntry(name, definition, base))
    return State({entry.name: entry for entry in entries})


@given(states())
def test_what_is_written_is_read(state: State) -> None:
    assert read(write(state).data, FILE) == state


@given(states())
def test_it_is_the_ordinary_language(state: State) -> None:
    document = parse(write(state).data.decode(), FILE)
    assert (document.problems, document.warnings) == ((), ())
    assert {workflow.name for workflow in document.workflows} == {entry.name for entry in state if entry.definition}


STATE = State(
    {
        "live": StateEntry(
            "live", WorkflowDefinition("live", (StepDefinition("rtmp_receive", {"rtmp_app": "a"}),)), "0" * 32
        ),
        "gone": StateEntry("gone", None, "1" * 32),
    },
    ReactorsEntry((ReactorDefinition("lookup", "simple_http", 60, {"url": "http://127.0.0.1:9/a?b=c"}),), "2" * 32),
)
TEXT = write(STATE).data


@pytest.mark.parametrize("length", range(len(TEXT)))
def test_no_beginning_of_a_text_is_taken_for_a_state(length: int) -> None:
    if TEXT[length:] == b"\n":
        assert read(TEXT[:length], FILE) == STATE
        return
    with pytest.raises(ConfigurationError):
        read(TEXT[:length], FILE)


@given(st.integers(0, len(TEXT) - 2), st.integers(1, 255))
def test_no_changed_byte_goes_unseen(place: int, difference: int) -> None:
    damaged = bytearray(TEXT)
    damaged[place] ^= difference
    try:
        found = read(bytes(damaged), FILE)
    except ConfigurationError:
        return
    assert found == STATE


def test_a_hash_inside_a_word_means_what_it_did_when_0_1_wrote_it() -> None:
    """As a mistake in a configuration it must not keep a server from its state."""
    state = read(b"# mmids-state version 1\nworkflow a#b {\n s k=v#w\n}\n# mmids-state end edited\n", FILE)
    entry = state.get("a#b")
    assert entry is not None
    assert entry.text == 'workflow a#b {\n    s k="v#w"\n}\n'
    assert read(write(state).data, FILE) == state


def test_a_dollar_and_a_star_mean_what_they_did_before_there_were_variables() -> None:
    step = b'rtmp_receive rtmp_app=live stream_key=cam* publish_token=pa$word reactor="${KEY} ${"'
    state = read(b"# mmids-state version 1\nworkflow w {\n " + step + b"\n}\n# mmids-state end edited\n", FILE)
    entry = state.get("w")
    assert entry is not None
    assert 'stream_key="cam*" publish_token="pa$word" reactor="$${KEY} $${"' in entry.text
    assert read(write(state).data, FILE) == state


def test_whoever_edits_the_file_says_so_in_its_last_line() -> None:
    changed = TEXT.replace(b"rtmp_app=a", b"rtmp_app=b")
    with pytest.raises(
        ConfigurationError, match=r"state\.mmids:\d+:1: the checksum does not fit: .*'# mmids-state end"
    ):
        read(changed, FILE)
    body, _, _ = changed.rpartition(b"end ")
    entry = read(body + b"end edited\n", FILE).get("live")
    assert entry is not None
    assert entry.definition is not None
    assert entry.definition.steps[0].parameters == {"rtmp_app": "b"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "this is no state file, or it is damaged"),
        (b"# mmids-state version 2\n# mmids-state end edited\n", "expected version 1 of the state file, found '2'"),
        (b"# mmids-state version 1\n", "the file was cut off"),
        (
            b"# mmids-state version 1\n# mmids-state what\n# mmids-state end edited\n",
            "state.mmids:2:1: expected version, ",
        ),
        (
            b"# mmids-state version 1\n# mmids-state changed a " + b"0" * 32 + b"\n# mmids-state end edited\n",
            "state.mmids:2:1: there is no workflow 'a' in this file",
        ),
        (
            b"# mmids-state version 1\n# mmids-state deleted a "
            + b"0" * 32
            + b"\nworkflow a {\n}\n# mmids-state end edited\n",
            "workflow 'a' is deleted here, and defined below",
        ),
        (b"# mmids-state version 1\nsettings {\n}\n# mmids-state end edited\n", "settings belong in the server"),
        (b"# mmids-state version 1\n# mmids-state end edited\nworkflow a {\n}\n", "expected nothing behind"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: bytes, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(text, FILE)
    assert message in str(caught.value)


def test_a_file_that_was_cut_off_is_refused_without_showing_where_a_key_may_stand() -> None:
    step = StepDefinition("rtmp_receive", {"rtmp_app": "live", "stream_key": "s3cret"})
    whole = write(State({"w": StateEntry("w", WorkflowDefinition("w", (step,)))})).data
    with pytest.raises(ConfigurationError, match="the file was cut off") as refused:
        read(whole[: whole.index(b"s3cret") + 6], "state")
    assert "s3cret" not in str(refused.value)
