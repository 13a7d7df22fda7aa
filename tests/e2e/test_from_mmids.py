"""Who comes from Mmids: its steps in one file through `check` and `apply`, and a service that checks a secret."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import trio

from mmids_trio.cli.commands.reactor_test_server import serve_workflows
from tests.support.commands import Result, invoke
from tests.support.ffmpeg import Crew, Recording
from tests.support.program import Launch, Program
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

EXAMPLE = Path(__file__).parents[2] / "examples" / "from_mmids.mmids"


async def run(program: Program, *arguments: str) -> Result:
    """A command, in a thread."""
    return await trio.to_thread.run_sync(partial(invoke, *arguments, environment={"MMIDS_SERVER": program.api}))


async def test_the_originals_steps_go_through_check_and_apply_and_work(
    launch: Launch, crew: Crew, show: Recording, tmp_path: Path
) -> None:
    program = await launch("workflow first {\n    rtmp_watch rtmp_app=first stream_key=* port=0\n}\n")
    hls = tmp_path / "hls"
    text = EXAMPLE.read_text("utf-8").replace("rtmp_app=", "port=0 rtmp_app=").replace("path=hls", f'path="{hls}"')
    file = tmp_path / "wanted.mmids"
    file.write_text(text, "utf-8")
    assert (await run(program, "check", str(file))).status == 0
    applied = await run(program, "apply", "--yes", str(file))
    assert applied.status == 0, applied
    for name in ("publish", "small", "restricted", "tv"):
        assert (await program.status(name))["status"] == "Running"
    await crew.publish(show, program.url("key", app="publish"))
    player = await crew.play(program.url("key", app="watch"))
    await player.gets(20)
    await eventually(lambda: (hls / "key.m3u8").exists() and "\nkey0.ts\n" in (hls / "key.m3u8").read_text(), "HLS")
    smaller = await crew.play(program.url("key", app="small"))
    await smaller.gets(5)


async def test_a_service_sees_the_secret_that_a_publisher_adds_and_no_log_does(
    nursery: trio.Nursery, launch: Launch, crew: Crew, show: Recording, tmp_path: Path
) -> None:
    (tmp_path / "streams").mkdir()
    (tmp_path / "streams" / "key.mmids").write_text("")
    serving: Callable[..., Awaitable[None]] = partial(serve_workflows, tmp_path, 0, secret="xyzzy")
    port = await nursery.start(partial(serving, shutdown=trio.Event()))
    program = await launch(f"""reactor lookup executor=simple_http {{
    url http://127.0.0.1:{port}/streams
}}
workflow live {{
    rtmp_receive rtmp_app=live stream_key=* port=0 reactor=lookup
    rtmp_watch rtmp_app=live stream_key=* port=0 reactor=lookup
}}
""")
    assert await (await crew.publish(show, program.url("key?secret=wrong"))).end() != 0
    await crew.publish(show, program.url("key?secret=xyzzy"))
    player = await crew.play(program.url("key"))
    await player.gets(20)
    told = program.child.err.text + str(program.log_file()) + (await program.get("/reactors")).text
    assert "publisher joined" in told
    assert "xyzzy" not in told
