"""Recording a server in virtual time and replaying the tape: the same happens again, whatever the schedule."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock

from mmids_trio.capture import records
from mmids_trio.capture.masking import FULL, KEEP, Masking
from mmids_trio.capture.pseudonyms import Pseudonyms
from mmids_trio.capture.tape import Tape
from mmids_trio.capture.writer import CaptureWriter
from mmids_trio.cli.commands.sign_play_url import signed_url
from mmids_trio.config.parser import parse
from mmids_trio.net.tls import connect_tls
from mmids_trio.reload.configuration_file import Configuration
from mmids_trio.server.capturing import hooks_of, note_kept_state
from mmids_trio.testing.clients import ClientRefused, RtmpClient
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.reactors import FakeReactorService, fails, valid
from mmids_trio.testing.replaying import Replayed, replay, run_replay
from mmids_trio.workflow.events import (
    ClientJoined,
    ClientLeft,
    ReactorAnswered,
    ReloadRefused,
    StreamWentLive,
    StreamWentOff,
    WorkflowChanged,
    WorkflowEnded,
    WorkflowStarted,
)
from tests.support.certificates import HOST, make
from tests.support.tapes import CLOCK, MEBIBYTE, SECRET, MemoryTape, capturing, start_record

NAMES = Pseudonyms(SECRET)

LIVE = """workflow live {
    rtmp_receive rtmp_app=live stream_key=*
    rtmp_watch rtmp_app=live stream_key=*
}
"""
OTHER = """workflow other {
    rtmp_receive rtmp_app=other stream_key=camera7
}
"""


async def an_hour(h: Harness) -> None:
    """Clients and an operator do what they do, at times that differ."""
    await trio.sleep(1)
    watcher = await h.watch("live/camera7")
    await trio.sleep(1)
    publisher = await h.publish("live/camera7", generate_stream(seconds=1))
    await trio.sleep(1)
    assert (await h.http.put("/workflows", content=OTHER, params={"wait": "5"})).status == 200
    await trio.sleep(1)
    await h.publish("other/camera7", generate_stream(seconds=1))
    await trio.sleep(1)
    assert (await h.http.put("/workflows", content="workflow {")).status == 400
    h.transports[-1].reset()
    await trio.sleep(1)
    assert (await h.http.delete("/workflows/other")).status == 200
    await trio.sleep(1)
    await publisher.unpublish()
    await trio.sleep(1)
    watcher.close()
    publisher.close()
    await trio.sleep(1)


async def capture_an_hour(
    text: str = LIVE, media: str = "headers", secrets: str = "mask"
) -> tuple[Harness, MemoryTape]:
    async with capturing(text, media=media, secrets=secrets) as (h, tape):
        await an_hour(h)
    return h, tape


def masked(name: str) -> str:
    """What a name is on the tape, which may be masked already."""
    return name if name == NAMES.of("camera7") else NAMES.of(name)


def story(events: tuple[object, ...]) -> list[object]:
    """What happened to which workflows and streams; the ids of steps and streams follow from masked parameters."""
    found: list[object] = []
    for event in events:
        match event:
            case StreamWentLive(workflow=workflow, name=name) | StreamWentOff(workflow=workflow, name=name):
                found.append((type(event), workflow, masked(name)))
            case ClientJoined(name=name):
                found.append(evolve(event, name=masked(name), step_id=""))
            case ClientLeft(name=name):
                # What came before the answer is taken with what follows it. Which of them is first at one instant is
                # for the schedule to say, and nothing follows here: the connection is reset.
                found.append(evolve(event, name=masked(name), step_id="", bytes=0))
            case _:
                found.append(event)
    return found


@pytest.mark.thorough
async def test_what_is_replayed_happens_as_it_did(autojump_clock: MockClock) -> None:
    h, tape = await capture_an_hour()
    replayed = await replay(tape.read())
    assert story(replayed.events) == story(h.events())
    assert len(replayed.events) == 16
    assert replayed.left == ()
    assert not any("captured" in line for line in replayed.lines)


@pytest.mark.thorough
async def test_a_log_has_events_answers_and_ends_of_connections_with_their_times(autojump_clock: MockClock) -> None:
    _, tape = await capture_an_hour()
    text = (await replay(tape.read())).text
    name = NAMES.of("camera7")
    for line in (
        "1.000000 connection 1 from 127.0.0.1: open\n",
        "3.000000 request 3 PUT /workflows?wait=5: 200\n",
        "3.000000 event workflow_started(workflow='other')\n",
        "5.000000 connection 4: reset by the client\n",
        "6.000000 event workflow_ended(workflow='other')\n",
        "8.000000 connection 2: closed by the client\n",
        "9.000000 the tape ends\n",
    ):
        assert line.replace("connection 4", f"connection {_second_publisher(tape)}") in text
    assert f"name='{name}'" in text
    assert "request 5 PUT /workflows: 400 " in text


def _second_publisher(tape: MemoryTape) -> int:
    return [record.connection for record in tape.read().records if isinstance(record, records.Opened)][2]


@pytest.mark.thorough
@pytest.mark.parametrize(("media", "secrets"), [("headers", KEEP), (FULL, "mask"), (FULL, KEEP)])
async def test_whatever_is_kept_the_same_happens(media: str, secrets: str, autojump_clock: MockClock) -> None:
    h, tape = await capture_an_hour(LIVE, media, secrets)
    assert (b"camera7" in tape.data) == (secrets == KEEP)
    assert story((await replay(tape.read())).events) == story(h.events())


@pytest.mark.thorough
async def test_with_secrets_kept_even_the_ids_are_those_of_the_capture(autojump_clock: MockClock) -> None:
    h, tape = await capture_an_hour(secrets=KEEP)
    assert (await replay(tape.read())).events == h.events()


def capture_under_mock_clock(text: str = LIVE) -> Tape:
    async def main() -> Tape:
        return (await capture_an_hour(text))[1].read()

    return trio.run(main, clock=MockClock(autojump_threshold=0))


@pytest.mark.thorough
def test_two_replays_give_the_same_log_under_every_schedule_of_their_own() -> None:
    tape = capture_under_mock_clock()
    for seed in range(5):
        assert run_replay(tape, seed=seed).text == run_replay(tape, seed=seed).text


@pytest.mark.thorough
def test_a_replay_under_another_configuration_shows_what_that_would_change() -> None:
    changed = run_replay(capture_under_mock_clock(), configuration=LIVE.replace("rtmp_app=live", "rtmp_app=elsewhere"))
    assert [type(event) for event in changed.events].count(StreamWentLive) == 1
    assert any("connection 2: closed by the server" in line for line in changed.lines)


GUARDED = """reactor lookup executor=scripted update_interval=10 {
}
workflow in {
    rtmp_receive rtmp_app=live stream_key=* reactor=lookup
}
"""
RUN = "workflow extra {\n    rtmp_watch rtmp_app=extra stream_key=camera7\n}\n"


async def replay_of_guarded(tape: Tape) -> Replayed:
    """With the executor's kind known, which is then not asked."""
    text = GUARDED.replace(
        "executor=scripted update_interval=10 {", "executor=simple_http update_interval=10 {\n url http://h/"
    )
    return await replay(tape, configuration=text)


async def test_reactors_get_the_answers_that_were_recorded_after_as_long_as_they_took(
    autojump_clock: MockClock,
) -> None:
    service = FakeReactorService({"camera7": [fails("busy"), valid(RUN, after=0.5)]})
    async with capturing(GUARDED, more_executors=[service.kind()]) as (h, tape):
        publisher = await h.publish("live/camera7", generate_stream(seconds=1))
        await trio.sleep(4)
        publisher.close()
        await trio.sleep(1)
    assert b"camera7" not in tape.data
    replayed = await replay_of_guarded(tape.read())
    answers = [event for event in replayed.events if isinstance(event, ReactorAnswered)]
    assert [(answer.stream, answer.valid, answer.workflows) for answer in answers] == [
        (NAMES.of("camera7"), True, ("extra",))
    ]
    assert story(replayed.events)[:2] == [WorkflowStarted("in"), answers[0]]
    assert replayed.left == ()
    [line] = [line for line in replayed.lines if "reactor_answered" in line]
    assert line.startswith("5.500000 ")


async def test_a_question_that_is_not_on_the_tape_is_named(autojump_clock: MockClock) -> None:
    service = FakeReactorService({"camera7": valid()})
    async with capturing(GUARDED, more_executors=[service.kind()]) as (h, tape):
        await h.publish("live/camera7")
        await trio.sleep(8)
    found = tape.read()
    found.records.append(records.End(25_000_000, "later"))
    replayed = await replay_of_guarded(found)
    name = NAMES.of("camera7")
    assert f"10.000000 question of reactor lookup about '{name}': not on the tape" in replayed.lines


async def test_rtmps_is_recorded_and_replayed_in_plain(tmp_path: Path, autojump_clock: MockClock) -> None:
    made, path = make(), tmp_path / "server.pem"
    made.write(path)
    text = f"settings {{\n    tls_cert_path {path}\n}}\n" + LIVE.replace("stream_key=*", "stream_key=* rtmps")
    async with capturing(text) as (h, tape):
        transport = await connect_tls(await h.open(port=443), HOST, made.client_context())
        publisher = await RtmpClient.connected(transport)
        await publisher.publish("camera7", generate_stream(seconds=1))
        await trio.sleep(2)
        publisher.close()
        await trio.sleep(1)
    path.unlink()
    replayed = await replay(tape.read())
    assert story(replayed.events) == story(h.events())
    assert StreamWentLive in map(type, replayed.events)


@pytest.mark.thorough
async def test_a_replay_touches_no_directory(tmp_path: Path, autojump_clock: MockClock) -> None:
    text = LIVE.replace("}", f"    ffmpeg_hls path={tmp_path}/made count=2 duration=2\n}}")
    async with capturing(text) as (_, tape):
        await trio.sleep(1)
    os.rmdir(tmp_path / "made")
    replayed = await replay(tape.read())
    assert replayed.events == (WorkflowStarted("live"), WorkflowEnded("live"))
    assert os.listdir(tmp_path) == []


async def test_a_signature_to_play_is_good_when_it_was_good(autojump_clock: MockClock) -> None:
    text = LIVE.replace("rtmp_watch rtmp_app=live stream_key=*", "rtmp_watch rtmp_app=live stream_key=* play_key=k3y")
    async with capturing(text, now=lambda: CLOCK + trio.current_time(), secrets=KEEP) as (h, tape):
        url = signed_url("rtmp://h/live/camera7", "k3y", CLOCK + 60)
        for wait in (1, 100):
            await trio.sleep(wait)
            with suppress(ClientRefused):
                await h.watch(url.partition("rtmp://h/")[2])
        await trio.sleep(10)
    lines = (await replay(tape.read())).lines
    assert [line for line in lines if "closed by the server" in line and line < "105"] == [
        "102.000000 connection 2: closed by the server"
    ]


async def test_who_came_to_a_port_that_is_closed_now_is_refused(autojump_clock: MockClock) -> None:
    tape = Tape(start_record(), [records.Opened(5, 1, 1935, "10.0.0.1", 40_000)])
    assert (await replay(tape)).lines[0] == "0.000005 connection 1 from 10.0.0.1: refused, port 1935 is closed"


async def test_a_connection_of_which_something_was_lost_is_reset(autojump_clock: MockClock) -> None:
    tape = Tape(
        start_record(LIVE),
        [
            records.Opened(5, 1, 1935, "10.0.0.1", 40_000),
            records.Lost(1_000_000, 1, 1),
            records.Lost(1_000_000, None, 4),
            records.End(2_000_000, "x"),
        ],
        "cut off",
    )
    lines = (await replay(tape)).lines
    assert "1.000000 connection 1: reset by the client" in lines
    assert "1.000000 gap: 4 records were lost by now" in lines
    assert "2.000000 the tape ends early: cut off" in lines


async def reload_now(h: Harness, text: list[str], new: str) -> None:
    text[0] = new
    assert h.server.reloader is not None
    h.server.reloader.request("signal")
    await trio.sleep(1)


@pytest.mark.thorough
async def test_a_reload_happens_again_whether_a_signal_or_the_api_asked_for_it(autojump_clock: MockClock) -> None:
    text = [LIVE]

    def load() -> Configuration:
        return Configuration("x", parse(text[0], "x"), h.server.settings, text[0])

    async with capturing(LIVE, load_again=load) as (h, tape):
        await trio.sleep(1)
        await reload_now(h, text, LIVE + OTHER)
        text[0] = OTHER
        assert (await h.http.post("/config/reload", params={"wait": "5"})).status == 200
        await trio.sleep(1)
        await reload_now(h, text, "")
    replayed = await replay(tape.read())
    assert replayed.events == h.events()
    assert [type(event) for event in replayed.events if type(event) is not WorkflowChanged] == [
        WorkflowStarted,
        WorkflowStarted,
        WorkflowEnded,
        ReloadRefused,
        WorkflowEnded,
    ]
    assert replayed.lines.count("1.000000 reload of the configuration") == 1
    assert b"camera7" not in tape.data


async def test_a_reload_that_is_not_on_the_tape_is_refused(autojump_clock: MockClock) -> None:
    asked = records.Requested(1, 1, "POST", "/config/reload", "host: localhost", b"")
    [line] = [
        line
        for line in (await replay(Tape(start_record(), [asked, records.Responded(2, 1, 200)]))).lines
        if "POST" in line
    ]
    assert "(captured: 200)" in line


async def test_what_a_server_had_kept_from_an_earlier_life_runs_in_a_replay(autojump_clock: MockClock) -> None:
    h = Harness(LIVE)
    file = Configuration("x", parse("", "x"), h.server.settings, "")
    tape = MemoryTape()
    capture = CaptureWriter(tape, Masking(SECRET), MEBIBYTE)
    async with trio.open_nursery() as nursery:
        await nursery.start(capture.run, start_record(""))
        async with h:
            note_kept_state(capture, h.server, file, parse(LIVE, "x").workflows)
            await trio.sleep(1)
        nursery.cancel_scope.cancel()
    happened = [event for event in (await replay(tape.read())).events if not isinstance(event, WorkflowChanged)]
    assert happened == [WorkflowStarted("live"), WorkflowEnded("live")]


@pytest.mark.thorough
async def test_in_a_replay_sets_have_what_they_had_kept_from_an_earlier_life(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    reactor = "reactor r executor=simple_http {\n    url http://127.0.0.1:1/\n}\n"
    kept = f"settings {{\n    state_path {tmp_path / 'state'}\n}}\n{LIVE}"
    async with Harness(kept) as h:
        for query in ("set=team", "set=team&take_over=true"):
            body = LIVE if "take" in query else reactor + OTHER
            assert (await h.http.put(f"/config?wait=5&{query}", content=body)).status == 200
    tape = MemoryTape()
    capture = CaptureWriter(tape, Masking(SECRET), MEBIBYTE)
    harness = Harness(kept, hooks=hooks_of(capture))
    async with trio.open_nursery() as nursery:
        await nursery.start(capture.run, start_record(LIVE))
        async with harness as h:
            file = Configuration("x", parse(LIVE, "x"), h.server.settings, "")
            running = [h.server.workflows.definition(name) for name in h.server.workflows.names()]
            note_kept_state(capture, h.server, file, [one for one in running if one is not None])
            await trio.sleep(1)
            refused = await h.http.put("/config?wait=5", content=OTHER)
            assert (refused.status, refused.json()["refused_by"]) == (409, "take_over")
            await trio.sleep(1)
            changed = OTHER.replace("camera7", "camera8")
            done = await h.http.put("/config?wait=5&set=team&prune=true", content=changed)
            assert (done.json()["deleted"], done.json()["reactors"]) == (["live"], [{"name": "r", "action": "stop"}])
            await trio.sleep(1)
        nursery.cancel_scope.cancel()
    log = (await replay(tape.read())).text
    assert "PUT /config?wait=5: 409" in log
    assert "PUT /config?wait=5&set=team&prune=true: 200" in log
    assert "captured" not in log
    assert "event workflow_ended(workflow='live')" in log


async def test_who_listened_to_events_until_it_hung_up_does_so_again(autojump_clock: MockClock) -> None:
    async with capturing(LIVE) as (h, tape):
        await trio.sleep(1)
        with trio.move_on_after(40):
            await h.http.get("/events")
        await trio.sleep(5)
    lines = (await replay(tape.read())).lines
    assert lines.index("1.000000 request 1 GET /events: 200") < lines.index("41.000000 request 1: the client hung up")


async def test_a_request_that_is_answered_differently_says_so(autojump_clock: MockClock) -> None:
    asked = records.Requested(1, 1, "PUT", "/workflows", "host: localhost", b"workflow {")
    tape = Tape(start_record(), [asked, records.Responded(2, 1, 200), records.End(9, "x")])
    [line] = [line for line in (await replay(tape)).lines if "request 1" in line]
    assert line.startswith("0.000001 request 1 PUT /workflows: 400 (captured: 200) ")
