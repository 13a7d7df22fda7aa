"""Pushing to a server that speaks TLS, and pulling from it: only where it proves who it is."""

from pathlib import Path

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.net.tls import connect_tls
from mmids_trio.steps.registry import StepType
from mmids_trio.testing.clients import RtmpClient
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.recorder import Recorder
from tests.support.certificates import HOST, Made, make

MADE = make()
PACKETS = generate_stream(seconds=2)
CONFIGURATION = """
settings {{
    tls_cert_path {certificate}
}}
workflow w {{
    rtmp_receive rtmp_app=live stream_key=*
    rtmp_push target=rtmps://{host}/in/copy
}}
workflow target {{
    rtmp_receive rtmp_app=in stream_key=* rtmps
    rtmp_watch rtmp_app=in stream_key=* rtmps
}}
"""


PULLING = """
workflow pulling {{
    rtmp_pull location=rtmps://{host}/in/copy stream_name=pulled
    record
}}
"""


def harness(tmp_path: Path, *more_steps: StepType, more: str = "", host: str = HOST, trusted: Made = MADE) -> Harness:
    """A server that pushes to itself, over TLS."""
    MADE.write(tmp_path / "server.pem")
    return Harness(
        (CONFIGURATION + more).format(certificate=tmp_path / "server.pem", host=host),
        more_steps,
        in_world=lambda world: evolve(world, make_trust=trusted.client_context),
    )


@pytest.mark.thorough
async def test_what_is_pushed_over_tls_arrives(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with harness(tmp_path) as h:
        watcher = await RtmpClient.connected(
            await connect_tls(await h.open(port=443), HOST, MADE.client_context()), "in"
        )
        await watcher.watch("copy")
        publisher = await h.publish("key")
        began = trio.current_time()
        for packet in PACKETS:
            await trio.sleep_until(began + packet.timestamp / 1000)
            await publisher.send([packet])
        await watcher.read_until(lambda: PACKETS[-1].data in [packet.data for packet in watcher.packets])
        assert watcher.report(PACKETS).missed == ()
    h.assert_quiet()


async def test_what_is_pulled_over_tls_arrives(tmp_path: Path, autojump_clock: MockClock) -> None:
    recorder = Recorder()
    async with harness(tmp_path, recorder.step_type(), more=PULLING) as h:
        publisher = await h.publish("key", PACKETS[:30])
        await trio.sleep(5)
        await publisher.send(PACKETS[30:])
        await trio.sleep(5)
        assert recorder.packets[-1].data == PACKETS[-1].data
    h.assert_quiet()


async def problem_of(h: Harness) -> str:
    async with h:
        await h.publish("key", PACKETS)
        await wait_all_tasks_blocked()
        details = h.workflow("w").active_steps[1].streams
    h.assert_quiet()
    return str(details)


async def test_a_server_that_nobody_trusts_is_not_pushed_to(tmp_path: Path, autojump_clock: MockClock) -> None:
    assert "certificate is refused" in await problem_of(harness(tmp_path, trusted=make()))


async def test_a_server_with_another_name_is_not_pushed_to(tmp_path: Path, autojump_clock: MockClock) -> None:
    assert "elsewhere.example" in await problem_of(harness(tmp_path, host="elsewhere.example"))
