"""`capture` with a real publisher on a real socket, and `replay` of its tape: twice the same, in two processes."""

import re
import signal
from pathlib import Path

import pytest
import trio

from mmids_trio.capture import records
from mmids_trio.capture.tape import Tape, read_tape
from tests.support.ffmpeg import Crew, Recording
from tests.support.program import Program, run_program, serve
from tests.support.waiting import eventually_answered

pytestmark = pytest.mark.e2e

LIVE = """workflow live {
    rtmp_receive rtmp_app=live stream_key=* port=0
    rtmp_watch rtmp_app=live stream_key=* port=0
}
"""
LONGER = LIVE.replace("}", "    rtmp_watch rtmp_app=preview stream_key=* port=0\n}")
OTHER = "workflow other {\n    rtmp_watch rtmp_app=other stream_key=* port=0\n}\n"
KEY, TOKEN = "camera7", "t0kenOfTheApi"


async def stop(server: Program) -> None:
    server.child.send(signal.SIGTERM)
    assert (await server.child.end(), "Traceback" in server.child.err.text) == (0, False), server.child.err.text


async def read(path: Path) -> Tape:
    return read_tape(await trio.Path(path).read_bytes())


async def has_bytes_of_clients(path: Path) -> bool:
    return any(isinstance(record, records.Received) for record in (await read(path)).records)


async def capture_a_clip(nursery: trio.Nursery, directory: Path, clip: Recording, *options: str) -> Path:
    """A tape with a publisher of two seconds, two changes over the API and a stop."""
    tape = directory / "session.mmtape"
    command = ["capture", "--out", str(tape), *options]
    server = await serve(nursery, directory, LIVE, command=command)
    publisher = await Crew(nursery).publish(clip, server.url(KEY))
    assert (await server.put(LONGER)).status == 200
    assert (await server.put(OTHER)).status == 200
    assert (await server.delete("other")).status == 200
    await publisher.end()
    await stop(server)
    return tape


async def replay(nursery: trio.Nursery, directory: Path, tape: Path, hash_seed: int) -> str:
    child = await run_program(nursery, directory, "replay", str(tape), environment={"PYTHONHASHSEED": str(hash_seed)})
    assert await child.end() == 0, child.err.text
    return child.out.text


async def test_a_recorded_session_is_replayed_twice_with_the_same_log(
    nursery: trio.Nursery, tmp_path: Path, clip: Recording
) -> None:
    tape = await capture_a_clip(nursery, tmp_path, clip)
    data = await trio.Path(tape).read_bytes()
    assert KEY.encode() not in data
    found = read_tape(data)
    assert found.damage is None
    assert found.records[-1] == records.End(found.records[-1].time, "stopped")
    first, second = [await replay(nursery, tmp_path, tape, seed) for seed in (1, 2)]
    assert first == second
    began = re.search(r"event stream_began\(workflow='live', .*name='(\w+)'\)", first)
    assert began is not None
    assert f"name='{began[1]}')" in first[first.index("event stream_over(") :]
    assert "event workflow_started(workflow='other')" in first
    assert "event workflow_ended(workflow='other')" in first
    assert re.search(r"request \d+ PUT /workflows\?wait=20: 200$", first, re.MULTILINE)
    assert "captured" not in first


async def test_everything_is_on_the_tape_where_that_is_asked_for(
    nursery: trio.Nursery, tmp_path: Path, clip: Recording
) -> None:
    tape = await capture_a_clip(nursery, tmp_path, clip, "--media", "full", "--secrets", "keep")
    found = await read(tape)
    assert (found.start.media, found.start.secrets) == ("full", "keep")
    assert found.start.configuration.decode().endswith(LIVE)
    log = tmp_path / "log.txt"
    child = await run_program(nursery, tmp_path, "replay", str(tape), "--log", str(log))
    assert (await child.end(), child.out.text) == (0, "")
    assert f"name='{KEY}'" in await trio.Path(log).read_text()


async def test_a_full_tape_does_not_stop_the_server(nursery: trio.Nursery, tmp_path: Path, noise: Recording) -> None:
    tape = tmp_path / "session.mmtape"
    command = ["capture", "--out", str(tape), "--media", "full", "--max-size", "1"]
    server = await serve(nursery, tmp_path, LIVE, command=command)
    await Crew(nursery).publish(noise, server.url(KEY))
    await server.logged("capture ends.*size limit")
    assert (await server.get("/workflows")).status == 200
    assert (await read(tape)).records[-1].time > 0
    await stop(server)


async def test_a_server_that_was_killed_leaves_a_tape_that_can_be_replayed(
    nursery: trio.Nursery, tmp_path: Path, show: Recording
) -> None:
    tape = tmp_path / "session.mmtape"
    server = await serve(nursery, tmp_path, LIVE, command=["capture", "--out", str(tape)])
    await Crew(nursery).publish(show, server.url(KEY))
    await eventually_answered(lambda: has_bytes_of_clients(tape), "bytes of a client on the tape")
    server.child.send(signal.SIGKILL)
    await server.child.end()
    assert "the tape ends" in await replay(nursery, tmp_path, tape, 0)


async def test_a_tape_that_exists_is_not_written_over(nursery: trio.Nursery, tmp_path: Path) -> None:
    (tmp_path / "x.config").write_text(LIVE)
    (tmp_path / "x.mmtape").write_text("precious")
    child = await run_program(nursery, tmp_path, "capture", "--config", "x.config", "--out", "x.mmtape")
    assert await child.end() == 1
    assert "error: cannot capture to x.mmtape: File exists" in child.err.text
    assert (tmp_path / "x.mmtape").read_text() == "precious"


@pytest.mark.parametrize(
    ("data", "error"),
    [(b"RIFF", "error: x.mmtape: this is no tape"), (None, "error: cannot read the tape x.mmtape: No such file")],
)
async def test_what_is_no_tape_is_one_message(
    data: bytes | None, error: str, nursery: trio.Nursery, tmp_path: Path
) -> None:
    if data is not None:
        (tmp_path / "x.mmtape").write_bytes(data)
    child = await run_program(nursery, tmp_path, "replay", "x.mmtape")
    assert (await child.end(), child.out.text) == (1, "")
    assert child.err.text.startswith(error)
