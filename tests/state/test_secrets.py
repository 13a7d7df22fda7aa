"""What the variables of a state stand for: never in the state file, and there for every state that a crash leaves."""

import errno
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
import trio
from attrs import define

from mmids_trio.definitions import Resolved, StepDefinition, Variable, WorkflowDefinition
from mmids_trio.errors import ConfigurationError
from mmids_trio.state.file import StateError, StateFile
from mmids_trio.state.record import State, StateEntry
from mmids_trio.state.secrets import StateSecrets
from mmids_trio.state.store import StateStore
from mmids_trio.state.text import parsed_state, read, write


def state(*values: str) -> State:
    """A workflow for each value, which is always called KEY."""
    entries = {}
    for number, value in enumerate(values):
        key = Resolved(["key-", Variable("KEY", value)])
        definition = WorkflowDefinition(f"w{number}", (StepDefinition("s", {"k": key}),))
        entries[definition.name] = StateEntry(definition.name, definition)
    return State(entries)


Result = TypeVar("Result")


async def inline(work: Callable[[], Result]) -> Result:
    await trio.lowlevel.checkpoint()
    return work()


@define
class Kept:
    """A state file with the secrets beside it."""

    path: Path

    def secrets(self) -> str:
        """What stands in the file beside it."""
        return Path(f"{self.path}.secrets").read_text()

    def damage(self, text: str | None) -> None:
        """Put this in its place; `None`: nothing."""
        beside = Path(f"{self.path}.secrets")
        beside.unlink()
        if text is not None:
            beside.write_text(text)

    def read(self) -> State:
        """As a start does."""
        file = StateFile(self.path)
        return parsed_state(file.read(), self.path, StateSecrets.beside(self.path).load)

    async def save(self, *states: State, store: StateStore | None = None) -> None:
        secrets = StateSecrets.beside(self.path)
        secrets.load("")
        store = store or StateStore(StateFile(self.path), inline, secrets)
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            for each in states:
                store.save(each)
                await store.durable()
            nursery.cancel_scope.cancel()


def keys(state: State) -> list[str | None]:
    return [entry.definition.steps[0].parameters["k"] for entry in state if entry.definition is not None]


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "state")


async def test_the_state_shows_names_and_a_restart_finds_their_values(kept: Kept) -> None:
    await kept.save(state("first", "second", "first"))
    text = kept.path.read_text()
    assert "s k=key-${KEY}\n" in text
    assert "s k=key-${KEY~2}\n" in text
    assert "first" not in text
    assert "second" not in text
    assert keys(kept.read()) == ["key-first", "key-second", "key-first"]
    assert stat.S_IMODE(os.stat(f"{kept.path}.secrets").st_mode) == 0o600
    await kept.save(kept.read())
    assert kept.path.read_text() == text


async def test_a_state_without_variables_has_no_second_file(kept: Kept) -> None:
    await kept.save(State(), State({"w": StateEntry("w", WorkflowDefinition("w"))}))
    assert [path.name for path in kept.path.parent.iterdir()] == ["state"]


async def test_values_that_nothing_needs_any_more_leave_the_disk(kept: Kept) -> None:
    await kept.save(state("first"), state("second"))
    assert list(json.loads(kept.secrets()).values()) == [{"KEY": "second"}]
    await kept.save(State())
    assert "second" not in kept.secrets()


@define
class FullDisk:
    """Takes no state."""

    def replace(self, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_a_crash_between_the_two_files_leaves_the_state_of_before_with_its_values(kept: Kept) -> None:
    await kept.save(state("first"))
    secrets = StateSecrets.beside(kept.path)
    kept_state = parsed_state(StateFile(kept.path).read(), kept.path, secrets.load)
    store = StateStore(FullDisk(), inline, secrets)
    with pytest.raises(BaseExceptionGroup) as caught:
        await kept.save(state("second", "third"), store=store)
    assert caught.group_contains(StateError)
    assert "third" in kept.secrets()
    assert keys(kept.read()) == keys(kept_state) == ["key-first"]


async def test_a_state_that_was_edited_by_hand_keeps_its_values(kept: Kept) -> None:
    await kept.save(state("first"))
    text = kept.path.read_text()
    head, _, _ = text.rpartition(" ")
    kept.path.write_text(head.replace("key-", "cam-") + " edited\n")
    assert keys(kept.read()) == ["cam-first"]


async def test_lost_or_damaged_values_are_an_error_that_names_the_file(kept: Kept) -> None:
    await kept.save(state("first"))
    for damage in ("{", "[]", '{"a": 1}', "null"):
        kept.damage(damage)
        with pytest.raises((StateError, ConfigurationError), match=r"state\.secrets"):
            kept.read()
    kept.damage(None)
    with pytest.raises(ConfigurationError, match=r"'KEY' is not among the values .* kept in .*/state\.secrets"):
        kept.read()


def test_a_state_is_no_place_to_read_files_or_variables_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "ofTheServer")
    with pytest.raises(ConfigurationError, match="is not among the values"):
        read(write(state("first")).data, "state")
