"""What the author of a test imports comes from `mmids_trio.testing`, and the list is this one."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from attrs import fields

import mmids_trio.testing
from mmids_trio.testing import Harness, HarnessOptions

ROOT = Path(__file__).parents[2]

NAMES = [
    "AUDIO_HEADER",
    "RTMP_PORT",
    "VIDEO_HEADER",
    "Arrival",
    "AudioCodec",
    "Behaviour",
    "BlockingCall",
    "Call",
    "ChannelInbox",
    "ClientRefused",
    "ConfigurationError",
    "Deadlock",
    "Dialling",
    "Direction",
    "Disconnected",
    "EventLog",
    "FakeFfmpeg",
    "FakeInput",
    "FakeOutput",
    "FakePeer",
    "FakeProcess",
    "FakeReactorService",
    "FakeSpawner",
    "FakeStepContext",
    "Faults",
    "Flapping",
    "Harness",
    "HarnessOptions",
    "HttpAnswer",
    "HttpClient",
    "HttpFailed",
    "HttpStream",
    "Limits",
    "Link",
    "Livelock",
    "MemoryListener",
    "MemoryNetwork",
    "MemoryTransport",
    "Move",
    "OddStream",
    "Outcome",
    "OutcomeKind",
    "Outlet",
    "PeerConnection",
    "PeerDoes",
    "PlanView",
    "Priorities",
    "Recorder",
    "Replayed",
    "Reply",
    "Report",
    "RequestOptions",
    "RtmpClient",
    "Schedule",
    "Script",
    "Spawner",
    "StartHarness",
    "StepFault",
    "StepRule",
    "StreamChecker",
    "Stuck",
    "Switch",
    "Tape",
    "TookTooLong",
    "Transport",
    "VideoCodec",
    "Watchdog",
    "WorkflowStatus",
    "WrongFault",
    "any_events",
    "any_odd_stream",
    "any_schedule",
    "cancel_everywhere",
    "cancel_only_at",
    "check_step",
    "events_of",
    "events_of_odd",
    "explore",
    "fails",
    "faults",
    "fed_packets",
    "generate_metadata",
    "generate_stream",
    "hangs",
    "inline",
    "invalid",
    "memory_connection",
    "replay",
    "run_replay",
    "schedule",
    "valid",
    "zoo",
]

OWN_PAGES = [
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "examples").rglob("*.py"),
    *(ROOT / "examples").rglob("*.md"),
]


def test_the_list_is_this_one() -> None:
    assert list(mmids_trio.testing.__all__) == NAMES
    assert dir(mmids_trio.testing) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_can_be_imported_and_is_no_module(name: str) -> None:
    """A module of the same name would take its place once it is imported."""
    namespace: dict[str, object] = {}
    exec(f"from mmids_trio.testing import {name}", namespace)
    assert not isinstance(namespace[name], ModuleType)
    with pytest.raises(ModuleNotFoundError):
        import_module(f"mmids_trio.testing.{name}")


def test_what_is_not_there_is_an_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Harnes'"):
        mmids_trio.testing.Harnes  # type: ignore[attr-defined]  # noqa: B018


def test_nothing_is_imported_before_it_is_used() -> None:
    heavy = "{'trio', 'attrs', 'mmids_trio.errors'}"
    program = f"import sys, mmids_trio.testing; sys.exit(' '.join({heavy} & set(sys.modules)) or None)"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


@pytest.mark.parametrize("page", OWN_PAGES, ids=lambda page: page.name)
def test_pages_and_examples_import_from_the_face_alone(page: Path) -> None:
    assert re.findall(r"^\s*(?:from|import) mmids_trio\.testing\..*", page.read_text("utf-8"), re.MULTILINE) == []


def test_the_type_of_the_fixture_takes_what_a_harness_takes() -> None:
    taken = {field.name for field in fields(Harness) if field.init and not field.name.startswith("_")}
    assert {"configuration", *HarnessOptions.__annotations__} == taken
