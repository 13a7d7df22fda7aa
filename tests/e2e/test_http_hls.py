"""Low-Latency HLS from a real server: by the rules, and every packet of the source, byte for byte, in order."""

from pathlib import Path

import pytest
import trio

from mmids_trio.net.transport import SocketNetwork
from mmids_trio.testing.hls import HlsChecker, HlsReport
from mmids_trio.testing.web import WebAnswer, WebClient
from tests.e2e.test_media import assert_goes_on_from_a_key_frame
from tests.support.ffmpeg import Crew, Recording, in_order, probe
from tests.support.program import Launch

pytestmark = pytest.mark.e2e


def workflow(port: int, more: str = "") -> str:
    return (
        "workflow live {\n    rtmp_receive rtmp_app=live stream_key=* port=0\n"
        f"    http_watch app=live stream_key=* port={port} segment=1s {more}\n}}\n"
    )


class Web:
    """Asks a port of this machine over connections that it keeps."""

    def __init__(self, port: int) -> None:
        self._port, self._free = port, list[WebClient]()

    async def get(self, target: str) -> WebAnswer:
        client = self._free.pop() if self._free else WebClient(await SocketNetwork().dial("127.0.0.1", self._port))
        answer = await client.get(target)
        if answer.status < 400:
            self._free.append(client)
        else:
            client.close()
        return answer

    def close(self) -> None:
        for client in self._free:
            client.close()


def as_files(report: HlsReport, directory: Path) -> list[Path]:
    """Each run of segments with one map, as a file that any player reads."""
    files: list[Path] = []
    last: str | None = None
    for number, data in sorted(report.segments.items()):
        map_uri = report.maps[number]
        if map_uri != last:
            files.append(directory / f"run{len(files)}.mp4")
            files[-1].write_bytes(report.inits[map_uri])
            last = map_uri
        with files[-1].open("ab") as file:
            file.write(data)
    return files


async def test_a_checker_finds_nothing_and_the_segments_have_the_packets_of_the_source(
    launch: Launch, crew: Crew, show: Recording, free_port: int, tmp_path: Path
) -> None:
    program = await launch(workflow(free_port, "dvr=10s"))
    await crew.publish(show, program.url())
    await program.logged("publisher joined")
    web = Web(free_port)
    with trio.fail_after(60):
        report = await HlsChecker(web.get).play("/live/show/index.m3u8", segments=6)
    web.close()
    assert report.problems == []
    [file] = as_files(report, tmp_path)
    received = in_order(probe(file))
    assert len(received.video) >= 6 * 30
    assert_goes_on_from_a_key_frame(received, show)


async def test_ffmpeg_plays_it_and_a_viewer_in_flv_beside_it(
    launch: Launch, crew: Crew, show: Recording, free_port: int
) -> None:
    program = await launch(workflow(free_port))
    await crew.publish(show, program.url())
    await program.logged("publisher joined")
    url = f"http://127.0.0.1:{free_port}/live/show"
    player = await crew.play(f"{url}/index.m3u8")
    await player.gets(90)
    beside = await crew.play(f"{url}.flv")
    await beside.gets(30)
    await player.gets_more(60)
    assert_goes_on_from_a_key_frame(player.packets, show)
    assert_goes_on_from_a_key_frame(beside.packets, show)
