"""Caddy and nginx in front of `http_watch`, as the examples have them: page, playlists that wait, FLV, over HTTP/2."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from tests.support.certificates import make as make_certificate
from tests.support.ffmpeg import Crew, Recording
from tests.support.processes import start
from tests.support.program import ROOT, Launch, curl
from tests.support.sockets import can_listen
from tests.support.waiting import eventually_answered

pytestmark = pytest.mark.e2e

EXAMPLES = ROOT / "examples" / "web"
SHOW = """
workflow show {
    rtmp_receive rtmp_app=live stream_key=* port=0
    http_watch app=live stream_key=* port=%d
}
"""


def needs(program: str) -> pytest.MarkDecorator:
    """Only where it is installed."""
    return pytest.mark.skipif(shutil.which(program, path=PATH) is None, reason=f"not installed: {program}")


PATH = "/usr/sbin:/usr/bin:/usr/local/bin"


def caddy(folder: Path, port: int, behind: int) -> list[str]:
    """Its command, with a certificate of its own making."""
    text = (EXAMPLES / "Caddyfile").read_text()
    text = text.replace("live.example.com {", f"https://localhost:{port} {{\n\ttls internal").replace(
        "8080", str(behind)
    )
    (folder / "Caddyfile").write_text(
        "{\n\tadmin off\n\tskip_install_trust\n\tauto_https disable_redirects\n}\n" + text
    )
    return ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


def nginx(folder: Path, port: int, behind: int) -> list[str]:
    """Its command, in the foreground and with all its files in `folder`."""
    made = make_certificate()
    pem, key = folder / "cert.pem", folder / "key.pem"
    pem.write_bytes(made.pem(chain=True))
    key.write_bytes(made.key_pem())
    text = (EXAMPLES / "nginx.conf").read_text().replace("listen 443", f"listen 127.0.0.1:{port}")
    text = text.replace("8080", str(behind)).replace("live.example.com;", "localhost;")
    text = re.sub(r"ssl_certificate .*;", f"ssl_certificate {pem};", text)
    text = re.sub(r"ssl_certificate_key .*;", f"ssl_certificate_key {key};", text)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    main = f"daemon off; pid {folder}/pid; error_log stderr; events {{}} http {{ access_log off; {places}\n{text}}}\n"
    (folder / "nginx.conf").write_text(main)
    return ["/usr/sbin/nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder)]


@pytest.mark.parametrize(
    "front", [pytest.param(caddy, marks=needs("caddy")), pytest.param(nginx, marks=needs("nginx"))]
)
async def test_what_is_watched_over_http_is_watched_over_https_and_http2(  # noqa: PLR0917  (fixtures)
    launch: Launch,
    crew: Crew,
    show: Recording,
    nursery: trio.Nursery,
    tmp_path: Path,
    free_port: int,
    front: Callable[[Path, int, int], list[str]],
) -> None:
    port = next(port for port in range(free_port + 1, free_port + 500) if can_listen(port))
    program = await launch(SHOW % free_port)
    await crew.publish(show, program.url())
    await program.logged("publisher joined")
    folder = tmp_path / "front"
    await trio.Path(folder).mkdir()
    environment = {"HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    await start(nursery, front(folder, port, free_port), name="front", environment=environment)
    page = f"https://localhost:{port}/live/show"
    http2 = ("--http2", "--insecure", "--write-out", "\n%{http_version}\n%{http_code}")

    async def there() -> bool:
        return (await curl(page, "--insecure")).status == 200

    await eventually_answered(there, "page")
    answer = await curl(page, *http2)
    assert answer.text.endswith("\n2"), "it is HTTP/2"
    media = (await curl(f"{page}/index.m3u8", *http2)).text.split("\n")
    address = next(line for line in media if "session=" in line)
    now = (await curl(f"{page}/{address}", *http2)).text
    [first] = re.findall(r"#EXT-X-MEDIA-SEQUENCE:(\d+)", now)
    wanted = int(first) + now.count("#EXTINF") + 1
    later = (await curl(f"{page}/{address}&_HLS_msn={wanted}", *http2)).text
    assert later.count("#EXTINF") + int(re.findall(r"SEQUENCE:(\d+)", later)[0]) > wanted, "it waited for the segment"
    flv = tmp_path / "show.flv"
    await trio.run_process(
        ["curl", "--silent", "--insecure", "--http2", "--max-time", "4", "--output", str(flv), f"{page}.flv"],
        check=False,
    )
    received = await trio.Path(flv).read_bytes()
    assert received[:3] == b"FLV"
    assert len(received) > 20_000
