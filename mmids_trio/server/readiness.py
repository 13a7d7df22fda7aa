"""Whether a server does all that its configuration asks for: for containers, load balancers and who waits."""

from collections.abc import Iterator, Sequence

import trio
from attrs import frozen

from mmids_trio.rtmp.server.server import RtmpServer
from mmids_trio.server.draining import Draining
from mmids_trio.workflow.manager import WorkflowManager

MAX_REASONS = 20
"""That are told; who has more asks for each workflow."""


@frozen(eq=False)
class ServerReadiness:
    """Reads what the parts of a server know; see `http_api.control.Readiness`."""

    _workflows: WorkflowManager
    _ports: Sequence[RtmpServer]
    _has_started: trio.Event
    _stop: trio.Event
    _draining: Draining

    def reasons(self) -> Sequence[str]:
        """Why it is not ready; none where it is."""
        found = list(self._all())
        left_out = len(found) - MAX_REASONS
        return found if left_out <= 0 else [*found[:MAX_REASONS], f"{left_out} more reasons"]

    def _all(self) -> Iterator[str]:
        if self._stop.is_set():
            yield "the server is stopping"
        elif not self._has_started.is_set():
            yield "the server is starting"
        elif self._draining.is_draining:
            yield "the server is being emptied"
        yield from self._workflows.unready()
        for ports in self._ports:
            yield from (f"port {port} is not open" for port in ports.closed_ports)
