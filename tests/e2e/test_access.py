"""Tokens and balancers with publishers and players that are not ours."""

import re
import shutil
import sys
from functools import partial

import pytest
import trio

from tests.support.ffmpeg import Crew, Recording, place_of
from tests.support.processes import start
from tests.support.program import ROOT, Launch
from tests.support.proxying import tcp4
from tests.support.sockets import can_listen
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

TOKEN, PLAY_KEY = "Tr0ub4dor-token", "c0rrect-h0rse"
GUARDED = f"""workflow live {{
    rtmp_receive rtmp_app=live stream_key=* port=0 publish_token={TOKEN} on_busy=same_source
    rtmp_watch rtmp_app=live stream_key=* port=0 play_key={PLAY_KEY}
}}
"""
RULES = """workflow live {
    rtmp_receive rtmp_app=live stream_key=* port=0 allow_ips=192.0.2.0/24
    rtmp_watch rtmp_app=live stream_key=* port=0
}
"""


async def signed(url: str, valid_for: int) -> str:
    """What the command prints."""
    command = [sys.executable, "-m", "mmids_trio", "sign-play-url", url, "--valid-for", str(valid_for)]
    environment = {"PYTHONPATH": str(ROOT), "MMIDS_PLAY_KEY": PLAY_KEY, "PATH": "/usr/bin:/bin"}
    done = await trio.run_process(command, capture_stdout=True, env=environment)
    return bytes(done.stdout).decode().strip()


async def test_ffmpeg_publishes_with_a_token_and_plays_a_signed_url(
    launch: Launch, crew: Crew, show: Recording
) -> None:
    program = await launch(GUARDED)
    refused = await crew.publish(show, program.url("show?token=guess"))
    assert await refused.end() != 0
    await crew.publish(show, program.url(f"show?token={TOKEN}"))
    await program.logged("publisher joined")
    refused = (await crew.play(program.url("show"))).child
    assert await refused.end() != 0
    url = await signed(program.url("show"), 60)
    player = await crew.play(url)
    await player.gets(30)
    place_of(player.packets.video, show.packets.video)
    steps = (await program.status("live"))["active_steps"]
    assert (steps[0]["parameters"]["publish_token"], steps[1]["parameters"]["play_key"]) == ("***", "***")
    await program.logged("the publish token is missing or wrong")
    await program.logged("the play token is missing or wrong")
    logged = program.child.err.text + str(program.log_file())
    for secret in (TOKEN, PLAY_KEY, "guess", url.rpartition("=")[2]):
        assert secret not in logged


async def test_an_expired_url_plays_no_more(launch: Launch, crew: Crew) -> None:
    program = await launch(GUARDED)
    url = await signed(program.url("show"), 1)
    await trio.sleep_until(trio.current_time() + 1.1)
    refused = (await crew.play(url)).child
    assert await refused.end() != 0
    await program.logged("the play token has expired")


async def relay(port: int, host: str, client: trio.SocketStream) -> None:
    """What a balancer does with one connection of the client `host`."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as server, client:
        await server.send_all(tcp4(host, 4321))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_copy, client, server, nursery.cancel_scope)
            nursery.start_soon(_copy, server, client, nursery.cancel_scope)


async def _copy(source: trio.SocketStream, target: trio.SocketStream, scope: trio.CancelScope) -> None:
    try:
        async for data in source:
            await target.send_all(data)
    except trio.BrokenResourceError:
        pass
    scope.cancel()


async def test_the_rules_know_who_comes_through_a_balancer(
    launch: Launch, crew: Crew, show: Recording, nursery: trio.Nursery
) -> None:
    program = await launch(RULES, settings="rtmp_proxy_protocol_from 127.0.0.1")
    doors = {}
    for host in ("192.0.2.7", "198.51.100.7"):
        serve = partial(trio.serve_tcp, partial(relay, program.rtmp_port, host), 0, host="127.0.0.1")
        [listener] = await nursery.start(serve)
        doors[host] = listener.socket.getsockname()[1]
    refused = await crew.publish(show, program.url(port=doors["198.51.100.7"]))
    assert await refused.end() != 0
    assert "198.51.100.7" in await program.logged("is not allowed here")
    await crew.publish(show, program.url(port=doors["192.0.2.7"]))
    assert "192.0.2.7:4321" in await program.logged("publisher joined")
    player = await crew.play(program.url(port=doors["198.51.100.7"]))
    await player.gets(30)
    direct = (await crew.play(program.url())).child
    assert await direct.end() != 0
    await program.logged("no PROXY protocol header")
    nursery.cancel_scope.cancel()


HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
BALANCER = """
defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen rtmp
    bind 127.0.0.1:{door}
    server mmids 127.0.0.1:{port} send-proxy{version}
"""


@pytest.mark.skipif(HAPROXY is None, reason="not installed: haproxy")
@pytest.mark.parametrize("version", ["-v2", ""])
async def test_haproxy_is_believed_in_version_2(
    launch: Launch, crew: Crew, show: Recording, free_port: int, version: str
) -> None:
    rules = RULES.replace("192.0.2.0/24", "127.0.0.0/8")
    program = await launch(rules, settings="rtmp_proxy_protocol_from 127.0.0.1")
    file = program.directory / "haproxy.cfg"
    file.write_text(BALANCER.format(door=free_port, port=program.rtmp_port, version=version))
    await start(crew.nursery, [str(HAPROXY), "-db", "-f", str(file)], name="haproxy")
    await eventually(lambda: not can_listen(free_port), "haproxy")
    publisher = await crew.publish(show, program.url(port=free_port))
    if not version:
        await program.logged("version 1; only version 2 is read")
        assert await publisher.end() != 0
        return
    line = await program.logged("publisher joined")
    assert re.search(r"connection='127\.0\.0\.1:\d+'", line)
    player = await crew.play(program.url(port=free_port))
    await player.gets(30)
    place_of(player.packets.video, show.packets.video)
