"""What is left of a server: the tasks, registrations, leases, streams and children that should not be there any more.

Apart from the harness because each kind of thing is looked for in its own way, and so that a test can ask for the list
as well as for the assertion.
"""

from collections.abc import Iterator, Sequence

import trio
from attrs import define, field

from mmids_trio.ffmpeg.process import Spawner
from mmids_trio.server.app import Server
from mmids_trio.testing.events import EventLog
from mmids_trio.testing.ffmpeg import FakeFfmpeg
from mmids_trio.testing.network import MemoryNetwork, MemoryTransport
from mmids_trio.testing.processes import FakeSpawner


@define(eq=False)
class TaskWatch(trio.abc.Instrument):
    """Knows the living tasks below `nursery`, and those that they started wherever else: in a nursery of somebody
    else's, or as system tasks."""

    nursery: trio.Nursery | None = None
    _living: dict[trio.lowlevel.Task, None] = field(factory=dict, init=False)

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        """See `trio.abc.Instrument`."""
        if _current_task() in self._living or self._is_below(task):
            self._living[task] = None

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        """See `trio.abc.Instrument`."""
        self._living.pop(task, None)

    def __enter__(self) -> "TaskWatch":
        trio.lowlevel.add_instrument(self)
        return self

    def __exit__(self, *_: object) -> None:
        trio.lowlevel.remove_instrument(self)

    def __contains__(self, task: object) -> bool:
        """Whether it is one of them."""
        return task in self._living

    @property
    def living(self) -> list[trio.lowlevel.Task]:
        """All of them, oldest first."""
        return list(self._living)

    @property
    def strays(self) -> list[trio.lowlevel.Task]:
        """Those that do not end with the nursery."""
        return [task for task in self._living if not self._is_below(task)]

    def _is_below(self, task: trio.lowlevel.Task) -> bool:
        parent = task.parent_nursery
        while parent is not None and parent is not self.nursery:
            parent = parent.parent_task.parent_nursery
        return parent is not None


def _current_task() -> trio.lowlevel.Task | None:
    try:
        return trio.lowlevel.current_task()
    except RuntimeError:  # started from outside of any task, by a thread
        return None


def describe_task(task: trio.lowlevel.Task) -> str:
    """Its name, and where it waits."""
    frame = getattr(task.coro, "cr_frame", None)
    place = "" if frame is None else f" ({frame.f_code.co_filename}:{frame.f_lineno})"
    return f"{task.name}{place}"


def what_is_left(server: Server) -> Iterator[str]:
    """A sentence for each thing of `server` that is there although nothing runs in it any more."""
    for ports, what in ((server.rtmp, "RTMP"), (server.media, "media")):
        if registered := ports.registered:
            yield f"still registered: {'; '.join(registered)}"
        if not (registered or ports.is_quiet):
            yield f"the {what} server still has an open port"
    if names := server.workflows.names():
        yield f"workflows {', '.join(names)} still run"
    elif not server.workflows.is_quiet:
        yield "a workflow that was stopped has not ended"
    on_air = server.on_air
    if shown := [entry.id for entry in on_air.streams()] + [entry.id for entry in on_air.clients()]:
        yield f"streams or clients are still shown: {', '.join(shown)}"
    if leases := server.reactors.leased:
        yield f"reactors still hold leases (reactor and stream): {', '.join(leases)}"


def open_ports(network: MemoryNetwork) -> Iterator[str]:
    """The same of a network."""
    if network.open_ports:
        yield f"ports {sorted(network.open_ports)} are still open"


def open_streams(log: EventLog) -> Iterator[str]:
    """The same of the streams that a log of events tells of."""
    for (workflow, stream_id), name in log.open_streams.items():
        yield f"the stream {name!r} ({stream_id}) of workflow {workflow!r} has not ended"


def living_children(spawner: Spawner) -> Iterator[str]:
    """The same of child processes, where they are fake ones."""
    fakes = [spawner.children, spawner.questions] if isinstance(spawner, FakeFfmpeg) else [spawner]
    for fake in fakes:
        if isinstance(fake, FakeSpawner):
            yield from fake.what_is_left()


def open_connections(transports: Sequence[MemoryTransport]) -> Iterator[str]:
    """The same of the clients' ends of connections: those that the server has not let go."""
    if left := [transport for transport in transports if not transport.is_over]:
        ports = ", ".join(str(transport.peer_port) for transport in left)
        yield f"the server still has {len(left)} connections, on ports {ports}"
