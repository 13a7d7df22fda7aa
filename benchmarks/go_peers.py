"""Peers that no package manager has here: MediaMTX and lal, built from the Go proxy, and SRS, as a given binary.

What is built is kept in the user's cache, outside of the checkout, and used again.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import evolve, field, frozen

from benchmarks.machine import NotPossible
from benchmarks.subjects import Ports

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmids_trio-benchmark"
GO = ("go", "/usr/local/go/bin/go")
SRS = "SRS"
"""The environment variable with the path of SRS' binary."""

MEDIAMTX_CONFIGURATION = """\
logLevel: error
rtsp: no
rtmp: yes
rtmpAddress: 127.0.0.1:{port}
{hls}
webrtc: no
srt: no
moq: no
paths:
  all_others:
"""

MEDIAMTX_HLS_CONFIGURATION = """\
hls: yes
hlsAddress: 127.0.0.1:{port}
hlsAlwaysRemux: yes
hlsVariant: lowLatency
hlsSegmentDuration: 2s
hlsPartDuration: 200ms"""

LAL_CONFIGURATION = {
    "conf_version": "v0.4.1",
    "log": {"level": 4, "is_to_stdout": True, "filename": ""},
    **{part: {"enable": False, "enable_https": False} for part in ("httpflv", "hls", "httpts")},
    **{part: {"enable": False} for part in ("rtsp", "record", "relay_push", "static_relay_pull", "http_api", "pprof")},
}

SRS_CONFIGURATION = """\
listen {port};
max_connections 10000;
daemon off;
srs_log_tank console;
srs_log_level error;
vhost __defaultVhost__ {{ }}
"""


@frozen
class GoPeer:
    """A server in Go, of which the proxy has the sources. `stubs`: files that its module lacks, and their content."""

    name: str
    module: str
    release: str
    package: str = "."
    stubs: Mapping[str, str] = field(factory=dict)
    cache: Path = CACHE
    has_hls: bool = False

    @property
    def program(self) -> Path:
        """Where it is built to."""
        return self.cache / f"{self.module.rpartition('/')[2]}-{self.release}"

    def version(self) -> str:
        """See `Subject`; the first call builds it, which needs the network and takes minutes."""
        if not self.program.exists():
            self._build()
        return f"{self.release}, from the Go proxy"

    def _build(self) -> None:
        go = next((found for name in GO if (found := shutil.which(name))), None)
        if go is None:
            raise NotPossible(f"go is missing, which builds {self.name}: https://go.dev/dl/")
        self.cache.mkdir(parents=True, exist_ok=True)
        download = self._run([go, "mod", "download", "-json", f"{self.module}@{self.release}"], self.cache)
        with tempfile.TemporaryDirectory(prefix="benchmark-") as place:
            sources = Path(place) / "sources"
            shutil.copytree(json.loads(download)["Dir"], sources, copy_function=shutil.copyfile)
            for folder in (sources, *(path for path in sources.rglob("*") if path.is_dir())):
                folder.chmod(0o755)
            for name, text in self.stubs.items():
                (sources / name).write_text(text, encoding="utf-8")
            self._run([go, "build", "-o", str(self.program), self.package], sources)

    def _run(self, command: Sequence[str], directory: Path) -> str:
        environment = {**os.environ, "GOFLAGS": "-mod=mod"}
        done = subprocess.run(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise NotPossible(f"{self.name} cannot be built: {(done.stderr or done.stdout).strip()[-200:]}")
        return done.stdout

    def prepare(self, directory: Path, ports: Ports) -> Sequence[str]:
        """See `Subject`."""
        file = directory / "configuration"
        if self.module.endswith("/lal"):
            configuration = {**LAL_CONFIGURATION, "rtmp": {"enable": True, "addr": f"127.0.0.1:{ports.rtmp}"}}
            file.write_text(json.dumps(configuration), encoding="utf-8")
            return [str(self.program), "-c", str(file)]
        file = file.with_suffix(".yml")
        file.write_text(self._mediamtx(ports), encoding="utf-8")
        return [str(self.program), str(file)]

    def _mediamtx(self, ports: Ports) -> str:
        hls = MEDIAMTX_HLS_CONFIGURATION.format(port=ports.media) if self.has_hls else "hls: no"
        return MEDIAMTX_CONFIGURATION.format(port=ports.rtmp, hls=hls)


MEDIAMTX = GoPeer(
    "MediaMTX",
    "github.com/bluenviron/mediamtx",
    "v1.20.1",
    stubs={"internal/core/VERSION": "v1.20.1\n", "internal/servers/hls/hls.min.js": ""},
)
MEDIAMTX_HLS = evolve(MEDIAMTX, name="MediaMTX, HLS", has_hls=True)
"""Its page would want the file that is a stub; its playlists do not."""

LAL = GoPeer("lal", "github.com/q191201771/lal", "v0.37.4", "./app/lalserver")


@frozen
class SrsServer:
    """SRS, which is measured where the variable `SRS` has the path of its binary."""

    name: str = "SRS"

    @property
    def _program(self) -> str:
        return os.environ.get(SRS, "")

    def version(self) -> str:
        """See `Subject`."""
        if not self._program:
            raise NotPossible(f"the variable {SRS} does not say where its binary is")
        if not os.access(self._program, os.X_OK):
            raise NotPossible(f"{SRS}={self._program} is no program")
        done = subprocess.run([self._program, "-v"], capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr).strip() or "unknown"

    def prepare(self, directory: Path, ports: Ports) -> Sequence[str]:
        """See `Subject`."""
        file = directory / "srs.conf"
        file.write_text(SRS_CONFIGURATION.format(port=ports.rtmp), encoding="utf-8")
        return ["env", "SRS_ENABLE_PHASE_REPORT=off", self._program, "-c", str(file)]


SRS_SERVER = SrsServer()
