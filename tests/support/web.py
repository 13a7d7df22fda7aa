"""Servers that are not ours, on loopback: a web server for one directory, and nginx with its RTMP module."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trio

from tests.support.processes import Child, start

NGINX = Path("/usr/sbin/nginx")
NGINX_RTMP = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
"""Where Debian's nginx and libnginx-mod-rtmp put them."""

_NGINX = """load_module {module};
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr info;
events {{ }}
rtmp {{
    access_log off;
    server {{
        listen 127.0.0.1:{port};
        application live {{
            live on;
            {directives}
        }}
    }}
}}
"""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no error of the test."""


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *_: object) -> None:
        """Say nothing."""


@contextmanager
def web_server(directory: Path) -> Iterator[str]:
    """The URL of a web server for the files in `directory`."""
    server = _Server(("127.0.0.1", 0), partial(_Handler, directory=str(directory)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def start_nginx(nursery: trio.Nursery, directory: Path, port: int, directives: str = "") -> Child:
    """An nginx that takes and serves rtmp://127.0.0.1:<port>/live/<any key>; it listens when this returns.

    `directives` are more of the application's: `push ...;`, `pull ...;`.
    """
    file = directory / "nginx.conf"
    file.write_text(_NGINX.format(module=NGINX_RTMP, directory=directory, port=port, directives=directives))
    nginx = await start(nursery, [str(NGINX), "-e", "stderr", "-p", str(directory), "-c", str(file)])
    await nginx.err.line("OS: ")
    return nginx
