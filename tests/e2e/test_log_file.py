"""The JSON log of a real run: it parses, and each line says what it is about."""

import json
from typing import Any

import pytest

from tests.support.ffmpeg import Crew, Recording
from tests.support.program import Launch, curl

pytestmark = pytest.mark.e2e

STEPS = "    rtmp_receive rtmp_app=live stream_key=* port=0\n    rtmp_watch rtmp_app=live stream_key=* port=0\n"
WORKFLOW = f"workflow live {{\n{STEPS}}}\n"


async def test_every_line_of_the_log_file_says_what_it_is_about(launch: Launch, crew: Crew, clip: Recording) -> None:
    program = await launch(WORKFLOW)
    step_ids = [step["step_id"] for step in (await program.status("live"))["active_steps"]]
    player = await crew.play(program.url("show?token=hush"))
    await program.logged("watcher joined")
    assert await (await crew.publish(clip, program.url("show?token=hush"))).end() == 0
    await program.logged("publisher left")
    url = f"{program.api}/workflows?wait=20"
    await curl(url, "-X", "PUT", "-H", "x-request-id: mine", body=f"workflow second {{\n{STEPS}}}\n".encode())
    await program.delete("live")
    assert await player.child.end() == 0
    lines = await program.log_file_with("http request", method="DELETE")

    def find(event: str, **keys: object) -> dict[str, Any]:
        return next(line for line in lines if line["event"] == event and keys.items() <= line.items())

    assert all({"timestamp", "level", "logger", "event"} <= line.keys() for line in lines)
    for event in ("publisher joined", "watcher joined", "publisher left", "watcher left"):
        assert find(event)["connection"].startswith("127.0.0.1:")
        assert find(event, stream="show")
    assert find("port opened")["workflow"] == "live"
    assert find("step failed", workflow="second")["step_id"] in step_ids
    assert find("http request", method="PUT", status=409)["request_id"] == "mine"
    assert find("workflow ended")["workflow"] == "live"
    assert len(find("http request", method="DELETE")["request_id"]) == 32
    assert "hush" not in json.dumps(lines) + program.child.err.text
