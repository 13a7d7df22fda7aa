"""HTTP-FLV from a real server to players that are not ours: every packet, byte for byte, in order."""

from pathlib import Path

import pytest

from tests.e2e.test_media import assert_goes_on_from_a_key_frame
from tests.support.certificates import make
from tests.support.ffmpeg import Crew, Recording
from tests.support.program import Launch, curl

pytestmark = pytest.mark.e2e


def workflow(port: int, more: str = "") -> str:
    return (
        "workflow live {\n    rtmp_receive rtmp_app=live stream_key=* port=0\n"
        f"    http_watch app=live stream_key=* port={port} {more}\n}}\n"
    )


async def test_two_players_get_what_is_published_from_a_key_frame_on(
    launch: Launch, crew: Crew, show: Recording, free_port: int
) -> None:
    program = await launch(workflow(free_port))
    url = f"http://127.0.0.1:{free_port}/live/show.flv"
    await crew.publish(show, program.url())
    await program.logged("publisher joined")
    early = await crew.play(url)
    await early.gets(45)
    late = await crew.play(url)
    await late.gets(60)
    await early.gets_more()
    begin_early, _ = assert_goes_on_from_a_key_frame(early.packets, show)
    begin_late, _ = assert_goes_on_from_a_key_frame(late.packets, show)
    assert begin_early < begin_late


async def test_players_stay_over_a_change_of_what_stands_in_front(
    launch: Launch, crew: Crew, show: Recording, free_port: int
) -> None:
    program = await launch(workflow(free_port))
    await crew.publish(show, program.url())
    await program.logged("publisher joined")
    player = await crew.play(f"http://127.0.0.1:{free_port}/live/show.flv")
    await player.gets(30)
    text = workflow(free_port).replace(
        "    http_watch", "    rtmp_watch rtmp_app=also stream_key=* port=0\n    http_watch"
    )
    assert (await program.put(text)).status == 200
    await player.gets_more(60)
    assert_goes_on_from_a_key_frame(player.packets, show)


async def test_curl_sees_status_codes_heads_and_tls(
    launch: Launch, crew: Crew, show: Recording, free_port: int, tmp_path: Path
) -> None:
    certificate = make().write(tmp_path / "server.pem")
    settings = f'tls_cert_path "{certificate.certificate}"'
    program = await launch(workflow(free_port, "https play_key=secret"), settings=settings)
    await program.logged("server started")
    url = f"https://localhost:{free_port}/live/show"
    assert (await curl(url, "--insecure")).status == 200
    assert (await curl(f"{url}.flv", "--insecure", "--head")).status == 403
    assert (await curl(f"https://localhost:{free_port}/x/y", "--insecure")).status == 404
