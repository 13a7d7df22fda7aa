"""What users have written down, and what programs of theirs rely on, stays as it was, byte for byte.

That is: names and values in the configuration language, step ids, entity tags, state files, names and fields of events,
metrics and the HTTP API.  `golden.json` and `state.mmids` hold all of it as of 0.1.0, for people to read.  The tests
come to it through the front doors of the package alone, and all imports stand here: code may be moved and renamed
with a change of these lines, and never of the two files.

`python -m tests.golden.test_golden` makes the files anew, but for what `golden.json` has as written. That is for a
change that is meant, such as a new kind of step: look at the difference before you commit it.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from math import inf
from pathlib import Path
from typing import Any, NoReturn

import pytest
import trio
from attrs import fields
from trio.testing import MockClock

from mmids_trio.config.live_settings import compare as compare_settings
from mmids_trio.config.parameters import Parameter
from mmids_trio.config.parser import parse, parse_workflow
from mmids_trio.config.settings import Settings
from mmids_trio.config.writer import write_reactor, write_workflow
from mmids_trio.definitions import ReactorDefinition, WorkflowDefinition, step_ids
from mmids_trio.errors import ConfigurationError
from mmids_trio.http_api.canonical import canonical_text, text_tag
from mmids_trio.http_api.event_shapes import EVENT_TYPES, Missed, Reset, event_json
from mmids_trio.http_api.event_stream import render_event, render_heartbeat, render_start
from mmids_trio.media.events import StreamId
from mmids_trio.metrics.catalog import METRICS
from mmids_trio.reactors.simple_http import SIMPLE_HTTP
from mmids_trio.rejections import RejectCounters
from mmids_trio.server.building import World, build_server
from mmids_trio.server.metrics import AnswerCounts
from mmids_trio.state.record import ReactorsEntry, State, StateEntry, digest_reactors
from mmids_trio.state.text import read as read_state
from mmids_trio.state.text import write as write_state
from mmids_trio.testing.harness import Harness
from mmids_trio.webhook.backlog import Notice
from mmids_trio.webhook.posting import render as render_post
from mmids_trio.workflow.events import (
    ClientJoined,
    ClientLeft,
    DrainBegan,
    DrainEnded,
    FleetFailed,
    HlsPaused,
    HlsResumed,
    KeyLost,
    KeyMoved,
    ReactorAnswered,
    RegistryCameBack,
    RegistryWentAway,
    ReloadRefused,
    StepChanged,
    StreamChanged,
    StreamInterrupted,
    StreamResumed,
    StreamStalled,
    StreamSwitched,
    StreamWentLive,
    StreamWentOff,
    TargetDown,
    TargetUp,
    WorkflowChanged,
    WorkflowEnded,
    WorkflowFailed,
    WorkflowStarted,
    WorkflowTakenOver,
)
from mmids_trio.workflow.status import WorkflowOwner, of_set
from tests.support.fake_claims import FakeCluster

HERE = Path(__file__).parent
GOLDEN_FILE = HERE / "golden.json"
STATE_FILE = HERE / "state.mmids"

Golden = Mapping[str, Any]
GOLDEN: Golden = json.loads(GOLDEN_FILE.read_text("utf-8"))
"""By section. `written` is what goes in, everything else what comes out."""

LOOKUP = ReactorDefinition("lookup", "simple_http", parameters={"url": "http://127.0.0.1/"})
SERVER = build_server(Settings(), [LOOKUP], world=World(claims=FakeCluster().node("golden")))
"""One of a cluster that never runs: it knows the kinds of steps and executors."""

STREAM = ("show", "12345", StreamId("stream-1"), "key")
"""Where a stream is: workflow, id of the step, id and name of the stream."""

EVENTS: Mapping[str, Sequence[Any]] = {
    "workflow_started": [WorkflowStarted("show")],
    "workflow_failed": [WorkflowFailed("show", 'Step id 12345 failed: "no"\nport')],
    "workflow_ended": [WorkflowEnded("show")],
    "stream_began": [StreamWentLive(*STREAM)],
    "stream_over": [StreamWentOff(*STREAM)],
    "stream_interrupted": [StreamInterrupted(*STREAM, 12.345)],
    "stream_resumed": [StreamResumed(*STREAM, 1500, True)],
    "stream_stalled": [StreamStalled(*STREAM, 2.0)],
    "stream_switched": [
        StreamSwitched("show", "12345", "out", None, "main", "start"),
        StreamSwitched("show", "12345", "out", "main", "spare", "timeout"),
    ],
    "target_up": [TargetUp("show", "12345", "key", "rtmp://example.com/live/***")],
    "target_down": [TargetDown("show", "12345", "key", "rtmp://example.com/live/***", "it hung up")],
    "reactor_answered": [
        ReactorAnswered("lookup", "key", True, ("one", "two")),
        ReactorAnswered("lookup", "key", False, ()),
        ReactorAnswered("lookup", "key", None, (), "no answer"),
    ],
    "reload_refused": [ReloadRefused("signal", "too many", 1, 40)],
    "hls_paused": [HlsPaused("show", "12345", "/srv/hls", 1000, 1024**3)],
    "hls_resumed": [HlsResumed("show", "12345", "/srv/hls", 2 * 1024**3)],
    "workflow_taken_over": [WorkflowTakenOver("show", WorkflowOwner("config", "mmids.config"), of_set("team-a"))],
    "step_changed": [StepChanged("show", "12345", "54321", "rtmp_watch")],
    "workflow_changed": [WorkflowChanged("show", "anna", "change", 1, 0, 1, "17")],
    "client_joined": [
        ClientJoined("show", "12345", "c-0a-1", "watcher", "rtmp", "192.0.2.7", "talk", None),
        ClientJoined("show", "12345", "c-0a-2", "publisher", "rtmps", "2001:db8::7", "talk", "publish_token"),
    ],
    "client_left": [
        ClientLeft("show", "12345", "c-0a-1", "watcher", "rtmp", "192.0.2.7", "talk", 12.5, 9000, "it left")
    ],
    "stream_changed": [
        StreamChanged("show", "12345", "s-0a-3", "talk", "video", "h264", 1280, 720, None, None),
        StreamChanged("show", "12345", "s-0a-3", "talk", "audio", None, None, None, None, None),
    ],
    "registry_away": [RegistryWentAway("edge-1")],
    "registry_back": [RegistryCameBack("edge-1")],
    "key_lost": [KeyLost("edge-1", "live", "talk", "edge-2", "expired")],
    "key_moved": [KeyMoved("edge-1", "live", "talk", "edge-2")],
    "fleet_failed": [FleetFailed("edge-1", 7, "workflow 'show' is the configuration file's; or take it over")],
    "drain_began": [DrainBegan("edge-1", "asked", 12), DrainBegan(None, "asked", 0)],
    "drain_ended": [DrainEnded("edge-1")],
    "reset": [Reset("restarted")],
    "missed": [Missed(7)],
}
"""Of each type that clients see, in the order in which types are listed; the last two are a stream's own."""


def validated(text: str) -> WorkflowDefinition:
    """The workflow of a text; raises `ConfigurationError`."""
    return SERVER.steps.validate(parse_workflow(text, "golden"))


def step(written: str) -> WorkflowDefinition:
    """A workflow of one step; raises `ConfigurationError`."""
    return validated(f"workflow w {{\n{written}\n}}\n")


def declared(parameter: Parameter) -> dict[str, object]:
    """What is promised of a parameter, but for its name."""
    return {
        "required": parameter.required,
        "default": _plain(parameter.default),
        "is_flag": parameter.convert is None,
        "secret": parameter.secret,
        "aliases": list(parameter.aliases),
    }


def _plain(default: object) -> object:
    """A default as JSON can have it."""
    if default in ((), inf):
        return None
    return default.value if isinstance(default, Enum) else default


# What comes out: a section of `golden.json` each, made of what the section has as written.


def kinds_of_steps(_golden: Golden) -> Golden:
    """Every kind with all it takes."""
    return {
        kind.name: {
            "aliases": list(kind.aliases),
            "parameters": {parameter.name: declared(parameter) for parameter in kind.parameters},
        }
        for kind in SERVER.steps.types
    }


def steps(golden: Golden) -> Golden:
    """What each step that was written is known as."""
    return {written: _step(step(written)) for written in golden}


def _step(workflow: WorkflowDefinition) -> Mapping[str, object]:
    (only,) = workflow.steps
    return {
        "canonical": write_workflow(workflow).splitlines()[1].strip(),
        "shown": only.shown_parameters(),
        "id": step_ids(workflow.steps)[0],
        "etag": text_tag(canonical_text(workflow)),
        "digest": workflow.digest,
    }


def refused_steps(golden: Sequence[str]) -> Sequence[str]:
    """Those that are still refused."""
    return [written for written in golden if _is_refused(step, written)]


def _is_refused(understand: Callable[[str], object], written: str) -> bool:
    try:
        understand(written)
    except ConfigurationError:
        return True
    return False


def workflows(golden: Sequence[Golden]) -> Sequence[Golden]:
    """What each workflow that was written is known as."""
    return [_workflow(entry["written"]) for entry in golden]


def _workflow(written: Sequence[str]) -> Golden:
    workflow = validated("\n".join(written))
    return {
        "written": written,
        "canonical": write_workflow(workflow).splitlines(),
        "ids": list(step_ids(workflow.steps)),
        "etag": text_tag(canonical_text(workflow)),
        "digest": workflow.digest,
    }


def settings(golden: Golden) -> Golden:
    """What each setting that was written makes of its default, and what reloads call it."""
    return {written: _setting(written) for written in golden}


def _setting(written: str) -> Golden:
    more = "\nhttp_api_token needed" if written.startswith("http_api_host") else ""
    document = parse(f"settings {{\n{written}{more}\n}}\n", "golden")
    assert not document.problems
    values = _different(document.settings) - _different(Settings(http_api_token="needed") if more else Settings())
    [(default, value)] = values
    difference = compare_settings(Settings(), document.settings)
    names = (*difference.changed, *difference.needs_restart)
    return {"default": default, "value": value, "known_as": [name for name in names if not more or "host" in name]}


def _different(given: Settings) -> set[tuple[str, str]]:
    """The values that are no defaults, each behind its default, whatever the fields are called."""
    known = [(getattr(Settings(), name), getattr(given, name)) for name in (one.name for one in fields(Settings))]
    return {(_shown(default), _shown(value)) for default, value in known if default != value}


def _shown(value: object) -> str:
    return ",".join(str(item) for item in value) if isinstance(value, tuple) else str(value)


def refused_settings(golden: Sequence[str]) -> Sequence[str]:
    """Those that are still refused."""
    return [written for written in golden if parse(f"settings {{\n{written}\n}}\n", "golden").problems]


def reactors(golden: Sequence[Golden]) -> Sequence[Golden]:
    """What each reactor that was written is known as, and whether it can be made."""
    return [_reactor(entry["written"]) for entry in golden]


def _reactor(written: Sequence[str]) -> Golden:
    document = parse("\n".join(written), "golden")
    assert not document.problems
    (reactor,) = document.reactors
    is_accepted = not SERVER.executors.problems(reactor)
    return {
        "written": written,
        "canonical": write_reactor(reactor).splitlines(),
        "digest": digest_reactors([reactor]),
        "is_accepted": is_accepted,
        "allows_on_failure": is_accepted and SERVER.executors.choose(reactor).common.allow_on_failure,
    }


def executors(_golden: Golden) -> Golden:
    """Every kind of executor with all it takes."""
    return {
        kind.name: {parameter.name: declared(parameter) for parameter in kind.parameters} for kind in (SIMPLE_HTTP,)
    }


def events(_golden: Golden) -> Golden:
    """Every event as it goes to clients of `GET /events` and to webhooks."""
    return {name: [_event(event) for event in instances] for name, instances in EVENTS.items()}


def _event(event: Any) -> Golden:
    name, time = event.wire_name, "2026-03-04T05:06:07.089Z"
    data = event_json(event, event_id="5f3c-7", time=time)
    notice = Notice("5f3c-7", name, time, event_json(event), 0.0)
    return {
        "type": name,
        "data": event_json(event),
        "sse": render_event(name, data, "5f3c-7").decode().splitlines(),
        "webhook": render_post(notice, 2).decode().splitlines(),
    }


def stream_of_events(_golden: Golden) -> Golden:
    """What stands between the events of a stream."""
    return {"start": render_start("5f3c-7").decode(), "heartbeat": render_heartbeat("5f3c-7").decode()}


def metrics(_golden: Golden) -> Golden:
    """Every metric by its name."""
    return {metric.name: {"kind": metric.kind.value, "labels": list(metric.labels)} for metric in METRICS}


def reasons(_golden: Sequence[str]) -> Sequence[str]:
    """Why clients are kept out or cut off: values of the label `reason`."""
    return list(RejectCounters())


def results(_golden: Sequence[str]) -> Sequence[str]:
    """What comes of questions to reactors: values of the label `result`."""
    counts = AnswerCounts()
    for event in EVENTS["reactor_answered"]:
        counts.note(event)
    return [result for _reactor, result in counts.counts]


SECTIONS: Mapping[str, Callable[[Any], object]] = {
    section.__name__: section
    for section in (
        kinds_of_steps,
        steps,
        refused_steps,
        workflows,
        settings,
        refused_settings,
        executors,
        reactors,
        events,
        stream_of_events,
        metrics,
        reasons,
        results,
    )
}


@pytest.mark.parametrize("section", SECTIONS)
def test_the_section_is_as_it_was(section: str) -> None:
    expected = GOLDEN[section]
    now = json.loads(json.dumps(SECTIONS[section](expected)))
    assert now == expected
    assert list(now) == list(expected)  # of a mapping, that is the order


# That nothing is left out.


def _names(written: str) -> Iterator[str]:
    """The words of a step that are names."""
    return (word.partition("=")[0] for word in re.sub(r'"[^"]*"', "", written).split())


@pytest.mark.parametrize("kind", SERVER.steps.types, ids=lambda kind: kind.name)
def test_every_spelling_of_every_step_and_parameter_is_written_somewhere(kind: Any) -> None:
    spellings = {kind.name, *kind.aliases}
    seen = {name for written in GOLDEN["steps"] if written.split()[0] in spellings for name in _names(written)}
    assert seen == spellings | {name for one in kind.parameters for name in (one.name, *one.aliases)}


def test_every_setting_is_written_somewhere() -> None:
    known_as = {name for entry in GOLDEN["settings"].values() for name in entry["known_as"]}
    assert len(known_as) == len(fields(Settings))


def test_every_type_of_event_is_there_in_its_order() -> None:
    assert (*EVENT_TYPES, "reset", "missed") == tuple(GOLDEN["events"])
    assert all(entry["type"] == name for name, entries in GOLDEN["events"].items() for entry in entries)


# A state file of 0.1.0, and the API.


def state() -> State:
    """What the state file holds: of the workflows of `golden.json` some new, some changed, some deleted."""
    known = [validated("\n".join(entry["written"])) for entry in GOLDEN["workflows"]]
    before = step("rtmp_watch rtmp_app=before stream_key=*").digest
    bases = (None, before)
    entries = [
        StateEntry("gone", None, before),
        *(StateEntry(one.name, one, bases[at % 2]) for at, one in enumerate(known)),
    ]
    written = ["\n".join(entry["written"]) for entry in GOLDEN["reactors"] if entry["is_accepted"]]
    definitions = parse("".join(written), "golden").reactors
    return State({entry.name: entry for entry in entries}, ReactorsEntry(definitions, digest_reactors([LOOKUP])))


def test_a_state_is_written_as_it_was() -> None:
    assert write_state(state()).data.decode() == STATE_FILE.read_text("utf-8")


def test_a_state_file_is_understood_as_it_was() -> None:
    data = STATE_FILE.read_bytes()
    assert read_state(data, "state.mmids") == state()
    assert write_state(read_state(data, "state.mmids")).data == data


CONFIGURATION = """\
workflow b routed_by_reactor {
    rtmp_watch stream_key=* rtmp_app="two words"
}
workflow a {
    rtmp_receive rtmp_app=live stream_key=* publish_token=secret
    rtmp_watch stream_key=* rtmp_app=live
}
"""


async def served() -> Golden:
    """What a server with these workflows says over HTTP: entity tags by path, how its metrics look, and its API."""
    async with Harness(CONFIGURATION, load_again=_never) as harness:
        paths = ("/workflows", "/workflows/a", "/workflows/b", "/config")
        tags = {path: (await harness.http.get(path)).headers.get("etag") for path in paths}
        text = (await harness.http.get("/metrics")).text
        document = (await harness.http.get("/openapi.json")).json()
    return {
        "etags": tags,
        "metrics": dict(re.findall(r"^# TYPE (mmids_\w+) (\w+)$", text, re.MULTILINE)),
        "reasons": re.findall(r'^mmids_turned_away_total\{reason="(\w+)"\}', text, re.MULTILINE),
        "buckets": re.findall(r'^mmids_loop_lag_seconds_bucket\{le="([^"]+)"\}', text, re.MULTILINE),
        "api": _api(document),
    }


def _never() -> NoReturn:
    pytest.fail("nobody has asked for a reload")


def _api(document: Golden) -> Golden:
    """Each operation of an OpenAPI document, with the names of all that goes in and comes out, but for HEAD."""
    schemas = document["components"]["schemas"]
    return {
        f"{method.upper()} {path}": {
            "parameters": [f"{parameter['in']} {parameter['name']}" for parameter in operation["parameters"]],
            "request": _bodies(operation.get("requestBody", {}), schemas),
            "answers": {status: _bodies(answer, schemas) for status, answer in operation["responses"].items()},
        }
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method != "head"
    }


def _bodies(holder: Golden, schemas: Golden) -> Golden:
    return {kind: _shape(content.get("schema", {}), schemas) for kind, content in holder.get("content", {}).items()}


def _shape(schema: Golden, schemas: Golden) -> object:
    """An object by the names of its fields (with `?` where one may be absent), a list by its items, else the type."""
    if "$ref" in schema:
        return _shape(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "anyOf" in schema:
        return {"any of": [_shape(choice, schemas) for choice in schema["anyOf"]]}
    if "properties" in schema:
        required = schema.get("required", ())
        return {
            name if name in required else f"{name}?": _shape(inner, schemas)
            for name, inner in schema["properties"].items()
        }
    if "items" in schema:
        return [_shape(schema["items"], schemas)]
    choices = schema.get("enum") or schema.get("type", "anything")
    return choices if isinstance(choices, str) else " | ".join(choices)


async def test_a_server_tags_counts_and_answers_as_it_did(autojump_clock: MockClock) -> None:
    now, expected = await served(), GOLDEN["served"]
    assert now == expected
    assert {name: entry["kind"] for name, entry in GOLDEN["metrics"].items()} == expected["metrics"]
    assert GOLDEN["reasons"] == expected["reasons"]


def renew() -> None:
    """Write both files anew, from what `golden.json` has as written."""
    made = {section: make(GOLDEN[section]) for section, make in SECTIONS.items()}
    text = json.dumps({**made, "served": trio.run(served)}, indent=2, ensure_ascii=False)
    GOLDEN_FILE.write_text(text + "\n", "utf-8")
    STATE_FILE.write_bytes(write_state(state()).data)


if __name__ == "__main__":
    renew()
