"""What a soak runs on: the server with its first workflows, a clip, and what is PUT while it runs."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import trio
from attrs import define

from benchmarks.children import child
from benchmarks.machine import ROOT
from benchmarks.soak.samples import Sample, look
from benchmarks.subjects import Ports, free_ports
from mmids_trio.ffmpeg.executable import shipped_with_imageio

START_SECONDS = 60.0
API_SECONDS = 30.0
"""For one answer. A `DELETE` waits for the children of a workflow, which have 5 s."""

EXTRAS = 5
"""Workflows that are PUT and DELETEd, by number."""

CLIP = (
    *("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", "sine=sample_rate=44100"),
    *("-t", "10", "-c:v", "libx264", "-preset", "veryfast", "-g", "25", "-bf", "2", "-b:v", "400k"),
    *("-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "64k", "-f", "flv"),
)

SETTINGS = """\
settings {{
    rtmp_host 127.0.0.1
    http_api_port {api}
    publisher_timeout 5
}}
"""

MAIN = """\
workflow main {{
    rtmp_receive port={rtmp} rtmp_app=live stream_key=* grace=3 on_busy=takeover
    {optional}
    rtmp_push target=rtmp://127.0.0.1:{rtmp}/mirror/
    rtmp_watch port={rtmp} rtmp_app=live stream_key=*
}}
"""
OPTIONAL = ("ffmpeg_hls path=hls duration=1 count=3", "ffmpeg_transcode vcodec=copy acodec=copy", "")
"""Steps that come into and go out of the workflow `main` while its streams are live."""

MIRROR = """\
workflow mirror {{
    rtmp_receive port={rtmp} rtmp_app=mirror stream_key=* on_busy=takeover
    rtmp_watch port={rtmp} rtmp_app=mirror stream_key=*
}}
"""

EXTRA = (
    ("rtmp_receive port={rtmp} rtmp_app={name} stream_key=*", "rtmp_watch port={rtmp} rtmp_app={name} stream_key=*"),
    (
        "ffmpeg_pull location=clip.flv stream_name={name} loop=true",
        "ffmpeg_push target=rtmp://127.0.0.1:{rtmp}/mirror/{name}",
        "rtmp_watch port={rtmp} rtmp_app={name} stream_key=*",
    ),
    (
        "ffmpeg_pull location=clip.flv stream_name={name} loop=true",
        "ffmpeg_hls path=extra duration=1 count=3",
        "workflow_forwarder target_workflow=mirror",
    ),
    (
        "rtmp_pull location=rtmp://127.0.0.1:{rtmp}/live/show0 stream_name={name} grace=3",
        "rtmp_watch port={rtmp} rtmp_app={name} stream_key=*",
    ),
    ("ffmpeg_pull location=clip.flv stream_name={name} loop=true", "rtmp_push target=rtmp://127.0.0.1:1/live/{name}"),
    ("ffmpeg_pull location=missing.flv stream_name={name}",),
)
"""Steps of a workflow that is PUT; the last two have a target and a source that never work."""


@define(eq=False)
class Stage:
    """A running server, and all that traffic needs to know of it."""

    directory: Path
    ffmpeg: str
    ports: Ports
    server: trio.Process
    api: httpx2.AsyncClient
    began: float

    @property
    def log(self) -> Path:
        """What the server printed."""
        return self.directory / "server.log"

    def url(self, app: str, key: str) -> str:
        """Where to publish and to watch."""
        return f"rtmp://127.0.0.1:{self.ports.rtmp}/{app}/{key}"

    def main(self, optional: str) -> str:
        """The workflow `main` with one of `OPTIONAL`."""
        return MAIN.format(rtmp=self.ports.rtmp, optional=optional)

    def extra(self, number: int, steps: Sequence[str]) -> str:
        """The workflow of that number with some of `EXTRA`."""
        name = f"extra{number}"
        lines = "\n".join(f"    {step.format(rtmp=self.ports.rtmp, name=name)}" for step in steps)
        return f"workflow {name} {{\n{lines}\n}}\n"

    async def sample(self) -> Sample:
        """Look at the server now."""
        answer = await self.api.get("/workflows")
        seconds = trio.current_time() - self.began
        return look(self.server.pid, self.directory / "tasks", seconds=seconds, workflows=len(answer.json()))


@asynccontextmanager
async def stage(directory: Path) -> AsyncIterator[Stage]:
    """Make the clip and run the server in `directory`; afterwards it is stopped, unless it was before.

    Raises `trio.TooSlowError` when the server or the clip takes too long.
    """
    ffmpeg = str(shipped_with_imageio())
    with trio.fail_after(START_SECONDS):
        await trio.run_process([ffmpeg, "-loglevel", "error", "-y", *CLIP, str(directory / "clip.flv")])
    ports = Ports(*free_ports(2))
    file = directory / "mmids.config"
    first = (SETTINGS + MAIN + MIRROR).format(rtmp=ports.rtmp, api=ports.api, optional=OPTIONAL[0])
    file.write_text(first, encoding="utf-8")
    arguments = [str(directory / "tasks"), "--config", str(file)]
    command = ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "benchmarks.soak.counted", *arguments]
    base = f"http://127.0.0.1:{ports.api}"
    async with (
        child(command, directory=directory, log=directory / "server.log") as server,
        httpx2.AsyncClient(base_url=base, timeout=API_SECONDS, trust_env=False) as api,
    ):
        with trio.fail_after(START_SECONDS):
            await answering(api)
        yield Stage(directory, ffmpeg, ports, server, api, trio.current_time())


async def answering(api: httpx2.AsyncClient) -> None:
    """Wait until the API answers."""
    while True:
        try:
            await api.get("/")
        except httpx2.TransportError:
            await trio.sleep(0.05)
        else:
            return
