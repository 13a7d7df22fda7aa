"""What is measured: this server, nginx-rtmp from Debian, Node-Media-Server 4 from npm, each with its own configuration.

A subject says how to start it; starting, waiting and ending are the same for all.  Peers run with their defaults,
but for what the load needs (connections) and nginx's chunk size, which is raised to that of the others, in its favour.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar, Protocol

import trio
from attrs import field, frozen

from benchmarks.children import child
from benchmarks.load import APP
from benchmarks.machine import ROOT, NotPossible, revision
from mmids_trio import __version__
from mmids_trio.config.settings import KNOWN_SETTINGS

START_SECONDS = 60.0
"""In which a server must accept connections; thousands of workflows take a while."""

POLL_SECONDS = 0.005
INTERVAL_SETTING = "rtmp_send_interval"
SIMPLE = f"""\
workflow simple {{
    rtmp_receive rtmp_app={APP} stream_key=*
    rtmp_watch rtmp_app={APP} stream_key=*
}}
"""

NGINX = Path("/usr/sbin/nginx")
NGINX_MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
NODE_MEDIA_SERVER = "4.4.3"

NGINX_CONFIGURATION = f"""\
load_module {NGINX_MODULE};
daemon off;
master_process off;
error_log stderr error;
pid nginx.pid;
worker_rlimit_nofile 20000;
events {{ worker_connections 10000; }}
rtmp {{
    access_log off;
    server {{
        listen 127.0.0.1:%d;
        chunk_size 4096;
        application {APP} {{ live on; }}
    }}
}}
"""


@frozen
class Ports:
    """Free ports on 127.0.0.1."""

    rtmp: int
    api: int
    media: int = 0


class Subject(Protocol):
    """A server that can be measured."""

    @property
    def name(self) -> str:
        """What tables and plots call it."""

    def version(self) -> str:
        """Its version. Raises `NotPossible` when it cannot run here, with what is missing."""

    def prepare(self, directory: Path, ports: Ports) -> Sequence[str]:
        """Write its configuration into `directory`; the command that starts it in the foreground."""


@frozen
class Ours:
    """The server of a checkout (of this one, unless told), with any workflows, run by the Python that runs the
    benchmark."""

    name: str = "mmids_trio"
    workflows: str = SIMPLE
    settings: Sequence[str] = ()
    root: Path = ROOT

    @property
    def serves_http(self) -> bool:
        """Whether there are viewers over HTTP, on the port for media."""
        return "http_watch " in self.workflows

    def version(self) -> str:
        """See `Subject`. A setting that this version does not have makes it impossible."""
        for setting in self.settings:
            if setting.split()[0] not in KNOWN_SETTINGS:
                raise NotPossible(f"setting {setting.split()[0]} not available")
        if self.root != ROOT:
            return revision(self.root)
        return f"{__version__}, trio {version('trio')}"

    def prepare(self, directory: Path, ports: Ports) -> Sequence[str]:
        """See `Subject`."""
        settings = ["rtmp_host 127.0.0.1", f"http_api_port {ports.api}", *self.settings]
        if self.serves_http:
            settings += ["http_media_host 127.0.0.1", f"http_media_port {ports.media}"]
        block = "".join(f"    {setting}\n" for setting in settings)
        file = directory / "mmids.config"
        file.write_text(f"settings {{\n{block}}}\n{on_port(self.workflows, ports.rtmp)}", encoding="utf-8")
        # Compiled files are kept whatever the shell says, as where it is installed: else each start compiles all of it.
        environment = ["env", "--unset=PYTHONDONTWRITEBYTECODE", f"PYTHONPATH={self.root}"]
        return [*environment, sys.executable, "-m", "mmids_trio", "--config", str(file)]


def package_of(root: Path) -> Path:
    """The package that a server of the checkout `root` runs. Raises `NotPossible` where that is not the checkout's."""
    command = [sys.executable, "-c", "import mmids_trio; print(mmids_trio.__file__)"]
    with tempfile.TemporaryDirectory(prefix="benchmark-") as elsewhere:
        environment = {**os.environ, "PYTHONPATH": str(root)}
        done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotPossible(f"{root} has no server: {done.stderr.strip()[-200:]}")
    package = Path(done.stdout.strip()).resolve().parent
    if package.parent != root.resolve():
        raise NotPossible(f"{root} is no checkout: its server would run {package}")
    return package


def on_port(workflows: str, port: int) -> str:
    """The same workflows, with their RTMP steps on `port`."""
    return workflows.replace("rtmp_app=", f"port={port} rtmp_app=")


OURS = Ours()
FLV = Ours(
    name="mmids_trio, HTTP-FLV",
    workflows=SIMPLE.replace("    rtmp_watch rtmp_app", "    http_watch app").replace("*\n}", "* formats=flv\n}"),
)
HLS = Ours(
    name="mmids_trio, HLS",
    workflows=FLV.workflows.replace("formats=flv", "formats=hls dvr=120s"),
)
THROUGHPUT_MS = 200
THROUGHPUT = Ours(
    name=f"mmids_trio, {THROUGHPUT_MS} ms between passes", settings=(f"{INTERVAL_SETTING} {THROUGHPUT_MS}",)
)


@frozen
class NginxRtmp:
    """One nginx process with Debian's RTMP module."""

    name: str = "nginx-rtmp"
    preload: Path | None = None
    """A library that it runs with."""

    def version(self) -> str:
        """See `Subject`."""
        if not (NGINX.exists() and NGINX_MODULE.exists()):
            raise NotPossible("nginx-rtmp is missing: apt-get install nginx libnginx-mod-rtmp")
        said = subprocess.run([str(NGINX), "-v"], capture_output=True, text=True, check=True).stderr
        query = ["dpkg-query", "--show", "--showformat=${Version}", "libnginx-mod-rtmp"]
        package = subprocess.run(query, capture_output=True, text=True, check=False).stdout
        return f"{package or 'unknown'}, nginx {said.strip().rpartition('/')[2]}"

    def prepare(self, directory: Path, ports: Ports) -> Sequence[str]:
        """See `Subject`."""
        (directory / "nginx.conf").write_text(NGINX_CONFIGURATION % ports.rtmp, encoding="utf-8")
        preload = [] if self.preload is None else ["env", f"LD_PRELOAD={self.preload}"]
        return [*preload, str(NGINX), "-p", str(directory), "-c", "nginx.conf", "-e", "stderr"]


NGINX_FILES_CONFIGURATION = """\
daemon off;
master_process off;
error_log stderr error;
pid nginx.pid;
worker_rlimit_nofile 20000;
events { worker_connections 10000; }
http {
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    server {
        listen 127.0.0.1:%d backlog=4096;
        root files;
    }
}
"""


@frozen
class NginxFiles:
    """One nginx process that hands out files of these sizes, by name."""

    sizes: Mapping[str, int]
    name: ClassVar[str] = "nginx, files"

    def version(self) -> str:
        """See `Subject`."""
        if not NGINX.exists():
            raise NotPossible("nginx is missing: apt-get install nginx")
        return subprocess.run([str(NGINX), "-v"], capture_output=True, text=True, check=True).stderr.strip()

    def prepare(self, directory: Path, ports: Ports) -> Sequence[str]:
        """See `Subject`."""
        files = directory / "files"
        files.mkdir()
        for name, size in self.sizes.items():
            (files / name).write_bytes(os.urandom(size))
        (directory / "nginx.conf").write_text(NGINX_FILES_CONFIGURATION % ports.rtmp, encoding="utf-8")
        return [str(NGINX), "-p", str(directory), "-c", "nginx.conf", "-e", "stderr"]


@frozen
class NodeMediaServer:
    """Node-Media-Server, installed by npm into a directory of the benchmark's."""

    cache: Path
    name: str = field(default="Node-Media-Server", init=False)

    @property
    def _package(self) -> Path:
        return self.cache / "node_modules" / "node-media-server"

    def version(self) -> str:
        """See `Subject`; the first call installs it, which needs the network."""
        if shutil.which("node") is None or shutil.which("npm") is None:
            raise NotPossible("node and npm are missing: apt-get install nodejs npm")
        if not self._package.exists():
            self._install()
        package = json.loads((self._package / "package.json").read_text("utf-8"))
        node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
        return f"{package['version']}, node {node.strip().removeprefix('v')}"

    def _install(self) -> None:
        self.cache.mkdir(parents=True, exist_ok=True)
        options = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(self.cache)]
        command = ["npm", "install", *options, f"node-media-server@{NODE_MEDIA_SERVER}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotPossible(f"npm cannot install node-media-server: {done.stderr.strip()[-200:]}")

    def prepare(self, directory: Path, ports: Ports) -> Sequence[str]:
        """See `Subject`."""
        file = directory / "config.json"
        file.write_text(json.dumps({"bind": "127.0.0.1", "rtmp": {"port": ports.rtmp}}), encoding="utf-8")
        return ["node", str(self._package / "bin" / "app.js"), "--config", str(file)]


@frozen
class Server:
    """A subject that runs and accepts connections."""

    subject: Subject
    pid: int
    ports: Ports
    started_after: float
    """Seconds from its start until it accepted a connection."""


@asynccontextmanager
async def running(subject: Subject, core: int) -> AsyncIterator[Server]:
    """Run `subject` bound to `core`; nothing is left of it afterwards.

    Raises `RuntimeError` when it does not start.
    """
    ports = Ports(*free_ports(3))
    with tempfile.TemporaryDirectory(prefix="benchmark-") as place:
        directory = Path(place)
        command = ["taskset", "--cpu-list", str(core), *subject.prepare(directory, ports)]
        log = directory / "output"
        begin = trio.current_time()
        async with child(command, directory=directory, log=log) as process:
            try:
                await _accepting(process, ports.rtmp)
                if isinstance(subject, Ours) and subject.serves_http:
                    await _accepting(process, ports.media)
            except (trio.TooSlowError, ChildProcessError) as error:
                said = log.read_text("utf-8", errors="replace").strip()[-1000:]
                raise RuntimeError(f"{subject.name} does not accept connections ({error}): {said}") from error
            yield Server(subject, process.pid, ports, trio.current_time() - begin)


async def _accepting(process: trio.Process, port: int) -> None:
    with trio.fail_after(START_SECONDS):
        while True:
            if process.poll() is not None:
                raise ChildProcessError(f"it ended with status {process.returncode}")
            try:
                await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()
            except OSError:
                await trio.sleep(POLL_SECONDS)
            else:
                return


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now. Servers of others cannot be asked for port 0, and told which it was."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(listening.getsockname()[1]) for listening in sockets]
    for listening in sockets:
        listening.close()
    return ports
