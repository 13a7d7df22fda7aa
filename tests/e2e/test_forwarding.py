"""From workflow to workflow with real media: nothing is lost or changed, and an end is an end."""

from pathlib import Path

import pytest

from tests.support.ffmpeg import Crew, Recording, in_order, place_of, probe
from tests.support.program import Launch

pytestmark = pytest.mark.e2e


def source(name: str = "source") -> str:
    """A workflow that takes publishers and forwards them."""
    return f"""workflow {name} {{
    rtmp_receive rtmp_app=in stream_key=* port=0
    workflow_forwarder target_workflow=target
}}
"""


TARGET = """workflow target {
    rtmp_watch rtmp_app=live stream_key=* port=0
}
"""


def forwarder(name: str, target: str) -> str:
    """A workflow that does nothing else, in the step's other spelling."""
    return f"workflow {name} {{\n    forward_to_workflow target_workflow={target}\n}}\n"


async def test_every_packet_arrives_unchanged(launch: Launch, crew: Crew, clip: Recording, tmp_path: Path) -> None:
    program = await launch(source() + forwarder("target", "last") + TARGET.replace("target", "last"))
    dumping = await crew.dump(program.url(), tmp_path / "dump.flv")
    await program.logged("watcher joined")
    publisher = await crew.publish(clip, program.url(app="in"))
    assert await publisher.end() == 0
    await program.logged("publisher left")
    assert (await program.delete("last")).status == 200
    await dumping.end()
    assert in_order(probe(tmp_path / "dump.flv")) == clip.packets


async def test_a_target_that_starts_later_gets_the_stream_from_a_key_frame_on(
    launch: Launch, crew: Crew, show: Recording
) -> None:
    program = await launch(source() + TARGET.replace("target", "other").replace("live", "other"))
    await crew.publish(show, program.url(app="in"))
    await program.logged("publisher joined")
    for _ in range(2):  # a target that went and comes back is served as well
        assert (await program.put(TARGET)).status == 200
        player = await crew.play(program.url())
        await player.gets(45)
        assert player.packets.video[0] in show.key_frames
        place_of(player.packets.video, show.packets.video)
        place_of(player.packets.audio, show.packets.audio)
        assert (await program.delete("target")).status == 200
        await player.child.end()


async def test_when_the_source_is_deleted_its_stream_ends_at_the_target(
    launch: Launch, crew: Crew, show: Recording
) -> None:
    program = await launch(source() + TARGET)
    publisher = await crew.publish(show, program.url(app="in"))
    player = await crew.play(program.url())
    await player.gets(1)
    packet = player.packets.video[0]
    assert (await program.delete("source")).status == 200
    await publisher.end()
    # Of two streams of one name the second is served when the first has ended: it has.
    assert (await program.put(source("successor"))).status == 200
    await crew.publish(show, program.url(app="in"))
    await player.child.out.until(lambda _lines: player.packets.video.count(packet) == 2, "the second stream")


async def test_a_circle_is_refused_with_the_way_that_it_would_take(launch: Launch) -> None:
    program = await launch(forwarder("a", "b") + forwarder("b", "c"))
    answer = await program.put(forwarder("c", "a"), "?wait=20&on_error=rollback")
    assert answer.status == 409
    assert "forwarding in a circle: c -> a -> b -> c" in answer.json["error"]
    answer = await program.put(forwarder("own", "own"))
    assert answer.status == 409
    assert "forwarding in a circle: own -> own" in answer.json["error"]
    assert [(await program.status(name))["status"] for name in ("a", "b")] == ["Running", "Running"]
    assert (await program.get("/workflows/c")).status == 404
