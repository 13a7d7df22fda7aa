"""Pictures of real streams, from the API and from the media listener."""

import json
from pathlib import Path

import pytest

from tests.support.ffmpeg import Crew, Recording
from tests.support.ffmpeg_runs import run
from tests.support.program import Launch, curl

pytestmark = pytest.mark.e2e

SHOW = """
workflow show {
    rtmp_receive rtmp_app=live stream_key=* port=0
    http_watch app=live stream_key=* port=%d
}
"""


def size_of(picture: Path) -> tuple[str, int, int]:
    """Codec, width and height."""
    entries = ("-show_entries", "stream=codec_name,width,height")
    [found] = json.loads(run("ffprobe", "-v", "error", *entries, "-of", "json", str(picture)))["streams"]
    return found["codec_name"], found["width"], found["height"]


async def test_a_stream_has_a_picture_for_operators_and_for_whoever_may_watch(
    launch: Launch, crew: Crew, show: Recording, free_port: int, tmp_path: Path
) -> None:
    program = await launch(SHOW % free_port)
    await crew.publish(show, program.url())
    await program.logged("publisher joined")
    [stream] = (await program.get("/streams")).json["streams"]
    for number, address in enumerate(
        (f"{program.api}/streams/{stream['id']}/thumbnail.jpg", f"http://127.0.0.1:{free_port}/live/show.jpg")
    ):
        picture, head = tmp_path / f"{number}.jpg", tmp_path / f"{number}.txt"
        answer = await curl(address, "--output", str(picture), "--dump-header", str(head))
        assert answer.status == 200
        assert size_of(picture) == ("mjpeg", 160, 90)
        headers = dict(line.lower().split(": ", 1) for line in head.read_text().splitlines() if ": " in line)
        assert headers["content-type"] == "image/jpeg"
        assert (await curl(address, "--header", f"If-None-Match: {headers['etag']}")).status == 304
    assert (await curl(f"http://127.0.0.1:{free_port}/live/other.jpg")).status == 404


async def test_who_may_not_watch_sees_no_picture(launch: Launch, crew: Crew, show: Recording, free_port: int) -> None:
    program = await launch((SHOW % free_port).replace("http_watch", "http_watch play_key=secret"))
    await crew.publish(show, program.url())
    await program.logged("publisher joined")
    assert (await curl(f"http://127.0.0.1:{free_port}/live/show.jpg")).status == 403
