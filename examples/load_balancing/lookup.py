"""The lookup service: which ingest instance has which stream. Any web service will do; this one needs Python alone.

The instances' reactors ask it (see ingest.mmids and playback.mmids), publishers and players ask it where to go:

    POST /ingest/PORT       may this stream be published at the ingest instance with that port?
    POST /playback          how does a playback instance get this stream?
    GET /publish/NAME       URL to publish to: where the stream is, else the ingest instance with the fewest streams
    GET /watch/NAME         URL to watch: one playback instance after the other
"""

import argparse
import itertools
import json
import re
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Names that are allowed; they become part of a workflow, so nothing else may be in them."""

WORKFLOW = """workflow pull-{name} {{
    ffmpeg_pull location={url} stream_name={name}
    workflow_forwarder target_workflow=playback
}}
"""


@dataclass
class Directory:
    """Who has what. An ingest instance asks once an `interval` (seconds) while a stream is live, so silence tells."""

    ingest: list[int]
    playback: list[int]
    interval: float
    places: dict[str, tuple[int, float]] = field(default_factory=dict[str, tuple[int, float]])
    """Stream to the port of its ingest instance, and when that has asked last."""

    def __post_init__(self) -> None:
        self.turns = itertools.cycle(self.playback)
        self.lock = Lock()

    def place(self, name: str) -> int | None:
        """The ingest instance where a stream is live."""
        port, asked = self.places.get(name, (None, 0.0))
        return port if time.monotonic() - asked < 2.5 * self.interval else None

    def claim(self, name: str, port: int) -> bool:
        """Note that a stream is at an ingest instance, unless it is live at another one."""
        if port not in self.ingest or self.place(name) not in (None, port):
            return False
        self.places[name] = (port, time.monotonic())
        return True

    def place_for(self, name: str) -> int:
        """Where a stream is or should be published."""
        live = [self.place(other) for other in self.places]
        return self.place(name) or min(self.ingest, key=live.count)


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    directory: Directory

    def do_POST(self) -> None:
        """A reactor asks about a stream: 200 with workflows or with nothing, or 404."""
        name = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["stream_key"]
        with self.directory.lock:
            match self.path.split("/")[1:]:
                case ["ingest", port] if NAME.fullmatch(name) and port.isdecimal():
                    self._answer("" if self.directory.claim(name, int(port)) else None)
                case ["playback"] if NAME.fullmatch(name):
                    place = self.directory.place(name)  # while nobody publishes, watchers wait
                    self._answer("" if place is None else WORKFLOW.format(name=name, url=_url(place, name)))
                case _:
                    self._answer(None)

    def do_GET(self) -> None:
        """A publisher or a player asks where to go."""
        with self.directory.lock:
            match self.path.split("/")[1:]:
                case ["publish", name] if NAME.fullmatch(name):
                    self._answer(_url(self.directory.place_for(name), name))
                case ["watch", name] if NAME.fullmatch(name):
                    self._answer(_url(next(self.directory.turns), name))
                case _:
                    self._answer(None)

    def _answer(self, text: str | None) -> None:
        body = (text or "").encode()
        self.send_response(404 if text is None else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _url(port: int, name: str) -> str:
    return f"rtmp://127.0.0.1:{port}/live/{name}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ingest", type=int, nargs="+", required=True, help="RTMP ports of the ingest instances")
    parser.add_argument("--playback", type=int, nargs="+", required=True, help="RTMP ports of the playback instances")
    parser.add_argument("--interval", type=float, required=True, help="seconds between two questions about a stream")
    options = parser.parse_args()
    Handler.directory = Directory(options.ingest, options.playback, options.interval)
    ThreadingHTTPServer(("127.0.0.1", options.port), Handler).serve_forever()
