"""The clients of a tape, played in a harness: one task for each connection and each request to the API.

Apart from the replay because these know what a client does, and nothing of configurations and logs of events.
"""

import json
from collections.abc import Callable, Sequence

import trio
from attrs import define

from mmids_trio.capture.records import (
    BY_SERVER,
    ENDED,
    RESET,
    Closed,
    HungUp,
    Lost,
    Opened,
    Received,
    Record,
    Requested,
)
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.http import HttpFailed, HttpStream
from mmids_trio.testing.network import MemoryTransport
from mmids_trio.testing.taped import MICROSECONDS

READ_BYTES = 64 * 1024
"""Per read of what the server sends, which nobody looks at."""

_CONDITIONS = ("if-match", "if-none-match")
_REFUSED_BY_CONDITION = (304, 412)
_FIRST_ERROR = 400


@define(eq=False)
class Scene:
    """Where and when clients act: times of records count from `began`; `say` writes a line of the log."""

    harness: Harness
    began: float
    say: Callable[[str], None]

    async def wait_for(self, record: Record) -> None:
        """Wait until it is time for a record."""
        await trio.sleep_until(self.time_of(record))

    def time_of(self, record: Record) -> float:
        """When it is time for it, on trio's clock."""
        return self.began + record.time / MICROSECONDS


async def play_connection(scene: Scene, opened: Opened, records: Sequence[Received | Closed | Lost]) -> None:
    """One RTMP client: sends what it sent, when it sent it, and reads whatever comes."""
    number = scene.harness.server.rtmp.bound_port(opened.port)
    name = f"connection {opened.connection}"
    if number is None:
        scene.say(f"{name} from {opened.host}: refused, port {opened.port} is closed")
        return
    transport = await scene.harness.open(port=number, peer_host=opened.host, peer_port=opened.peer_port)
    scene.say(f"{name} from {opened.host}: open")
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_read, scene, transport, name, nursery.cancel_scope)
            how = await _send(scene, transport, records)
            if how in (ENDED, RESET):
                scene.say(f"{name}: {'closed' if how == ENDED else 'reset'} by the client")
                nursery.cancel_scope.cancel()
    finally:
        transport.close()


async def _send(scene: Scene, transport: MemoryTransport, records: Sequence[Received | Closed | Lost]) -> str:
    """How the client ended."""
    for record in records:
        await scene.wait_for(record)
        match record:
            case Received(data=data):
                await _send_some(transport, data)
            case Closed(how=how):
                if how == RESET:
                    transport.reset()
                return how
            case Lost():
                transport.reset()
                return RESET
    return BY_SERVER


async def _send_some(transport: MemoryTransport, data: bytes) -> None:
    try:
        await transport.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        await trio.lowlevel.checkpoint()  # who reads notices as well, and says so


async def _read(scene: Scene, transport: MemoryTransport, name: str, life: trio.CancelScope) -> None:
    try:
        while await transport.receive_some(READ_BYTES):
            pass
    except trio.BrokenResourceError:
        pass
    scene.say(f"{name}: closed by the server")
    life.cancel()


async def play_request(scene: Scene, requested: Requested, captured: int | None, hung_up: HungUp | None) -> None:
    """One request to the API; `captured` is the status of the answer then, and `hung_up` when its client went."""
    with trio.CancelScope() as patience:
        if hung_up is not None:
            patience.deadline = scene.time_of(hung_up)
        await _ask(scene, requested, captured)
    if patience.cancelled_caught:
        scene.say(f"request {requested.request}: the client hung up")


async def _ask(scene: Scene, requested: Requested, captured: int | None) -> None:
    lines = (line.partition(": ") for line in requested.headers.splitlines())
    headers = {name: value for name, _, value in lines}
    if captured not in _REFUSED_BY_CONDITION:  # it held, and a tag of masked definitions would be another one
        headers = {name: value for name, value in headers.items() if name not in _CONDITIONS}
    name = f"request {requested.request} {requested.method} {requested.target}"
    note = f" (captured: {captured or 'no answer'})"
    http = scene.harness.http
    try:
        async with http.stream(requested.method, requested.target, content=requested.body, headers=headers) as answer:
            reason = await _reason(answer)
            scene.say(f"{name}: {answer.status}{note if answer.status != captured else ''}{reason}")
            async for _ in answer:
                pass
    except HttpFailed:
        scene.say(f"{name}: no answer{note}")


async def _reason(answer: HttpStream) -> str:
    """Why a request was refused."""
    if answer.status < _FIRST_ERROR:
        return ""
    body = b"".join([piece async for piece in answer])
    try:
        return f" {json.loads(body)['error']}"
    except (ValueError, KeyError, TypeError):
        return ""
