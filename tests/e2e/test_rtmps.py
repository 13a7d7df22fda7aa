"""RTMPS with publishers and players that are not ours: two ffmpegs, each with a TLS library of its own."""

import socket
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path

import pytest
import trio
from cryptography.hazmat.primitives.serialization import Encoding

from mmids_trio.fanout.stream_log import MAX_LOG_BYTES
from mmids_trio.net.tls import PIECE_BYTES, connect_tls
from mmids_trio.net.transport import SocketTransport
from mmids_trio.testing.clients import RtmpClient
from tests.support.certificates import HOST, Made, make
from tests.support.ffmpeg import Player, Recording, place_of, play_command, publish_command
from tests.support.processes import Child, start
from tests.support.program import Launch, Program

pytestmark = pytest.mark.e2e

STEPS = """workflow live {
    rtmp_receive rtmp_app=live stream_key=* port=PORT rtmps
    rtmp_watch rtmp_app=live stream_key=* port=PORT rtmps
    rtmp_watch rtmp_app=live stream_key=* port=0
}
"""

FFMPEGS = {"installed": "ffmpeg", "bundled": import_module("imageio_ffmpeg").get_ffmpeg_exe()}
IDLE_PLAYERS = 30
FRAMES_UNTIL_LOOKED_AT_AGAIN = 330
"""Eleven seconds of the recording: ten is how often the files of a certificate are looked at, at most."""


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    return tmp_path / "authority.pem"


def install(made: Made, certificate: Path, authority: Path) -> None:
    """Put a certificate where the server looks for it, and its authority where clients do."""
    fresh = certificate.with_suffix(".new")
    made.write(fresh)
    fresh.rename(certificate)
    authority.write_bytes(made.authority.public_bytes(Encoding.PEM))


def encrypted(command: list[str], ffmpeg: str, authority: Path) -> list[str]:
    """A command of this very ffmpeg, which trusts `authority` alone."""
    trust = ["-tls_verify", "1", "-ca_file", str(authority)]
    place = -1 if "flv" in command else command.index("-i")  # options stand in front of what they are about
    return [ffmpeg, *command[1:place], *trust, *command[place:]]


async def publish(nursery: trio.Nursery, ffmpeg: str, authority: Path, show: Recording, url: str) -> Child:
    return await start(nursery, encrypted(publish_command(show.path, url), ffmpeg, authority), name="publisher")


async def play(nursery: trio.Nursery, ffmpeg: str, authority: Path, url: str) -> Player:
    return Player(await start(nursery, encrypted(play_command(url), ffmpeg, authority), name="player"))


def url(port: int) -> str:
    return f"rtmps://{HOST}:{port}/live/show"


def assert_byte_identical(player: Player, show: Recording) -> None:
    assert player.packets.video[0] in show.key_frames
    place_of(player.packets.video, show.packets.video)
    place_of(player.packets.audio, show.packets.audio)


@pytest.mark.parametrize("ffmpeg", FFMPEGS.values(), ids=FFMPEGS)
@pytest.mark.parametrize("form", ["PKCS#12", "PEM"])
async def test_what_is_published_over_tls_arrives_byte_for_byte(
    launch: Launch, nursery: trio.Nursery, show: Recording, authority: Path, *, free_port: int, form: str, ffmpeg: str
) -> None:
    made, certificate = make(), authority.with_name("server")
    install(made, certificate, authority)
    if form == "PKCS#12":
        certificate.write_bytes(made.pkcs12("pass word"))
    program = await launch(
        STEPS.replace("PORT", str(free_port)),
        settings=f'tls_cert_path "{certificate}"\n    tls_cert_password "pass word"',
    )
    await publish(nursery, ffmpeg, authority, show, url(free_port))
    await program.logged("publisher joined")
    player = await play(nursery, ffmpeg, authority, url(free_port))
    await player.gets(60)
    assert_byte_identical(player, show)


async def test_a_new_certificate_disconnects_nobody_and_is_what_newcomers_see(
    launch: Launch, nursery: trio.Nursery, show: Recording, authority: Path, free_port: int
) -> None:
    certificate = authority.with_name("server.pem")
    install(make(), certificate, authority)
    program = await launch(STEPS.replace("PORT", str(free_port)), settings=f'tls_cert_path "{certificate}"')
    await publish(nursery, "ffmpeg", authority, show, url(free_port))
    await program.logged("publisher joined")
    early = await play(nursery, "ffmpeg", authority, url(free_port))
    await early.gets(1)
    install(make(authority="New"), certificate, authority)
    await early.gets(FRAMES_UNTIL_LOOKED_AT_AGAIN)
    late = await play(nursery, "ffmpeg", authority, url(free_port))
    await late.gets(30)
    await early.gets_more()
    for player in (early, late):
        assert_byte_identical(player, show)
    assert program.count_logged("connection closes") == 0


async def test_many_players_that_do_not_read_cost_little_memory_and_hold_up_nobody(
    launch: Launch, nursery: trio.Nursery, noise: Recording, authority: Path, free_port: int
) -> None:
    made, certificate = make(), authority.with_name("server.pem")
    install(made, certificate, authority)
    program = await launch(STEPS.replace("PORT", str(free_port)), settings=f'tls_cert_path "{certificate}"')
    idle = [await idle_player(free_port, made) for _ in range(IDLE_PLAYERS)]
    before = memory_of(program)
    player = await play(nursery, "ffmpeg", authority, url(free_port))
    await publish(nursery, "ffmpeg", authority, noise, url(free_port))
    await player.gets(240)  # 25 MB
    assert_byte_identical(player, noise)
    kept = MAX_LOG_BYTES + IDLE_PLAYERS * PIECE_BYTES
    assert memory_of(program) - before < 2 * kept
    for client in idle:
        client.close()


async def idle_player(port: int, made: Made) -> RtmpClient:
    """One that asks for the stream and reads nothing of it."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    connection.connect(("127.0.0.1", port))
    transport = await connect_tls(SocketTransport(connection), HOST, made.client_context())
    client = await RtmpClient.connected(transport)
    await client.watch("show")
    return client


def memory_of(program: Program) -> int:
    """Bytes that the server has in memory."""
    status = Path(f"/proc/{program.child.process.pid}/status").read_text("utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


async def test_without_a_usable_certificate_the_server_runs_and_its_api_says_what_is_wrong(
    launch: Launch, authority: Path, free_port: int
) -> None:
    folder = authority.parent
    (folder / "right.pfx").write_bytes(make().pkcs12("right"))
    make(end=datetime.now(UTC) - timedelta(days=1)).write(folder / "expired.pem")

    async def error(setting: str) -> str:
        program: Program = await launch(STEPS.replace("PORT", str(free_port)), settings=setting)
        assert "hunter2" not in program.child.err.text
        return str((await program.status("live"))["status"])

    assert "No such file" in await error(f'tls_cert_path "{folder}/missing.pem"')
    assert "it expired on" in await error(f'tls_cert_path "{folder}/expired.pem"')
    wrong = f'tls_cert_path "{folder}/right.pfx"\n    tls_cert_password hunter2'
    assert "its password is wrong" in await error(wrong)
