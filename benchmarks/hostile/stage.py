"""What a hostile soak runs on: the server with bounds that it meets soon, and the service that it asks and tells."""

import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import h11
import httpx2
import trio
from attrs import define, field, frozen

from benchmarks.children import child
from benchmarks.machine import ROOT
from benchmarks.soak.samples import Sample, look
from benchmarks.soak.stage import API_SECONDS, START_SECONDS, answering
from benchmarks.subjects import free_ports
from mmids_trio.config.settings import KNOWN_SETTINGS
from mmids_trio.ffmpeg.ended_files import JOURNAL
from mmids_trio.ffmpeg.stderr_log import FOLDER

TOKEN = "the-operators-token"
SPARE = "spare"
"""The workflow that the operator's plans start and end."""

BOUNDS = {
    "max_connections": "300",
    "max_connections_per_ip": "60",
    "api_max_connections": "64",
    "publisher_timeout": "5",
    "log_max_bytes": "4194304",
    "max_media_bytes": "134217728",
    "max_children": "4",
    "grace_after": "1",
    "max_interrupted": "20",
    "max_encode_rate": "27648000",
    "ended_files_keep": "10",
}
"""Settings below their defaults, so that two minutes reach them; those that the server does not know are left out."""

SETTINGS = """\
settings {{
    rtmp_host 127.0.0.1
    http_media_host 127.0.0.1
    http_api_port {api}
    http_api_token {token}
    webhook_url http://127.0.0.1:{service}/events
    webhook_events workflow_started,workflow_failed,stream_began,stream_over,stream_interrupted
    {bounds}
}}
"""

WORKFLOWS = """\
reactor door executor=simple_http {{
    url http://127.0.0.1:{service}/door
}}
workflow live {{
    rtmp_receive port={rtmp} rtmp_app=live stream_key=*
    rtmp_watch port={rtmp} rtmp_app=live stream_key=*
    http_watch port={media} app=live stream_key=* segment=1s
}}
workflow asked {{
    rtmp_receive port={rtmp} rtmp_app=asked stream_key=* reactor=door
    rtmp_watch port={rtmp} rtmp_app=asked stream_key=*
}}
workflow graced {{
    rtmp_receive port={rtmp} rtmp_app=graced stream_key=* grace=60
    rtmp_watch port={rtmp} rtmp_app=graced stream_key=*
}}
workflow hls {{
    rtmp_receive port={rtmp} rtmp_app=hls stream_key=*
    ffmpeg_hls path=hls duration=1 count=3
}}
workflow slated {{
    rtmp_receive port={rtmp} rtmp_app=slated stream_key=* grace=5
    slate after=0.5
    rtmp_watch port={rtmp} rtmp_app=slated stream_key=*
}}
workflow transcoded {{
    rtmp_receive port={rtmp} rtmp_app=transcoded stream_key=*
    ffmpeg_transcode vcodec=h264 acodec=copy h264_preset=ultrafast
    rtmp_watch port={rtmp} rtmp_app=transcoded stream_key=*
}}
workflow pulled {{
    rtmp_pull location=rtmp://127.0.0.1:{source}/live/x stream_name=pulled
    rtmp_watch port={rtmp} rtmp_app=pulled stream_key=*
}}
"""

SPARE_WORKFLOW = f"""\
workflow {SPARE} {{{{
    rtmp_receive port={{rtmp}} rtmp_app={SPARE} stream_key=*
    rtmp_watch port={{rtmp}} rtmp_app={SPARE} stream_key=*
}}}}
"""

INVITED = "invited"
"""How the names of streams begin that the service lets in."""
ANSWER_SECONDS = 0.02
"""What the service takes for an answer."""


_NO_BODY = [("content-length", "0")]


@frozen
class Ports:
    """Free ports on 127.0.0.1."""

    rtmp: int
    api: int
    source: int
    """Of the hostile source that the server pulls from."""
    service: int
    media: int = 8080
    """Of viewers over HTTP."""


@define(eq=False)
class Service:
    """The operator's web service: the reactor asks it, and the webhook tells it."""

    counts: Counter[str] = field(factory=Counter, init=False)
    started: int = field(default=0, init=False)
    """Events that said that the operator's workflow has started."""

    async def serve(self, stream: trio.SocketStream) -> None:
        """Answer the requests of one connection."""
        async with stream:
            with suppress(h11.RemoteProtocolError, trio.BrokenResourceError):  # a question may be given up
                await self._converse(stream, h11.Connection(h11.SERVER))

    async def _converse(self, stream: trio.SocketStream, connection: h11.Connection) -> None:
        target, body = "", bytearray()
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await stream.receive_some())
            elif isinstance(event, h11.Request):
                target = event.target.decode("ascii")
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                answer = h11.Response(status_code=await self._status(target, json.loads(body)), headers=_NO_BODY)
                pieces = connection.send(answer), connection.send(h11.EndOfMessage())
                await stream.send_all(b"".join(piece or b"" for piece in pieces))
                connection.start_next_cycle()
                body.clear()
            else:
                return

    async def _status(self, path: str, asked: dict[str, object]) -> int:
        self.counts[path] += 1
        if path == "/events":
            data = asked["data"]
            assert isinstance(data, dict)
            self.started += asked["type"] == "workflow_started" and data.get("workflow") == SPARE
            return 200
        await trio.sleep(ANSWER_SECONDS)
        return 200 if str(asked["stream_name"]).startswith(INVITED) else 404


@define(eq=False)
class Stage:
    """A running server, and what the others need to know of it."""

    directory: Path
    ports: Ports
    server: trio.Process
    api: httpx2.AsyncClient
    service: Service
    began: float

    @property
    def log(self) -> Path:
        """What the server printed."""
        return self.directory / "server.log"

    def workflows(self, *, with_spare: bool) -> str:
        """A plan of the operator's."""
        return workflows(self.ports, with_spare=with_spare)

    async def ask(self, method: str, path: str, body: str | None = None) -> httpx2.Response:
        """A request with the token."""
        return await self.api.request(method, path, content=body)

    async def sample(self) -> Sample:
        """Look at the server now."""
        seconds = trio.current_time() - self.began
        return look(self.server.pid, self.directory / "tasks", seconds=seconds, workflows=0)

    async def interrupted(self) -> int:
        """Streams that wait for their publishers."""
        answers = [await self.ask("GET", f"/workflows/{name}") for name in ("graced", "slated")]
        return sum(answer.text.count('"interrupted"') for answer in answers)

    def log_bytes(self) -> int:
        """Of all files of the server's log together."""
        return sum(file.stat().st_size for file in (self.directory / "logs").glob("mmids.log*"))

    def files(self) -> int:
        """That the server and its children have left on the disk."""
        return sum(file.is_file() for name in ("logs", "hls") for file in (self.directory / name).rglob("*"))

    def ended_files(self) -> int:
        """Of those, the ones of streams; when none is live, all of them belong to such as have ended."""
        folders = (self.directory / "hls", self.directory / "logs" / FOLDER)
        files = (file for folder in folders for file in folder.rglob("*"))
        return sum(file.is_file() and file.name != JOURNAL for file in files)


def workflows(ports: Ports, *, with_spare: bool) -> str:
    """All workflows and reactors, with or without the one that comes and goes."""
    text = WORKFLOWS + (SPARE_WORKFLOW if with_spare else "")
    return text.format(rtmp=ports.rtmp, media=ports.media, source=ports.source, service=ports.service)


def configuration(ports: Ports) -> str:
    """The first configuration file, with those of `BOUNDS` that the server knows."""
    bounds = "\n    ".join(f"{name} {value}" for name, value in BOUNDS.items() if name in KNOWN_SETTINGS)
    settings = SETTINGS.format(api=ports.api, service=ports.service, token=TOKEN, bounds=bounds)
    return settings + workflows(ports, with_spare=False)


@asynccontextmanager
async def stage(directory: Path) -> AsyncIterator[Stage]:
    """Run the service and the server in `directory`; afterwards both are stopped, unless they were before."""
    ports, service = Ports(*free_ports(5)), Service()
    file = directory / "mmids.config"
    file.write_text(configuration(ports), encoding="utf-8")
    arguments = [str(directory / "tasks"), "--config", str(file)]
    command = ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "benchmarks.soak.counted", *arguments]
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(ports.service, host="127.0.0.1")
        await nursery.start(trio.serve_listeners, service.serve, listeners)
        async with (
            child(command, directory=directory, log=directory / "server.log") as server,
            httpx2.AsyncClient(
                base_url=f"http://127.0.0.1:{ports.api}", headers=headers, timeout=API_SECONDS, trust_env=False
            ) as api,
        ):
            with trio.fail_after(START_SECONDS):
                await answering(api)
            yield Stage(directory, ports, server, api, service, trio.current_time())
        nursery.cancel_scope.cancel()
