"""What all steps that run ffmpeg share on one server: the executable, where children come from, where they log."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from random import random

import structlog
import trio
from attrs import define, field, frozen

from mmids_trio.ffmpeg.capacity import Capacity, Encoding
from mmids_trio.ffmpeg.child import FeedHook, ReadHook, RestHook
from mmids_trio.ffmpeg.disk_room import DiskRoom, free_bytes
from mmids_trio.ffmpeg.ended_files import EndedFiles, log_trace
from mmids_trio.ffmpeg.executable import Executable, Places, find_ffmpeg
from mmids_trio.ffmpeg.hold import Hold
from mmids_trio.ffmpeg.output_paths import make_directory
from mmids_trio.ffmpeg.process import Spawner
from mmids_trio.ffmpeg.state import ChildState
from mmids_trio.ffmpeg.stderr_log import FOLDER, StderrLog, log_path
from mmids_trio.ffmpeg.supervisor import Supervisor
from mmids_trio.media_memory import MediaMemory
from mmids_trio.offload import Offload, in_thread
from mmids_trio.outside_values import OutsideValues

log = structlog.get_logger()


@frozen(kw_only=True)
class Job:
    """One child to be kept running: for whom, with which arguments, and how it is fed and read."""

    workflow: str
    step_id: str
    stream: str
    """What the log file is named after."""
    arguments: Callable[[], Sequence[str]]
    """Without the executable; asked for at each start."""
    state: ChildState
    feed: FeedHook | None = None
    read: ReadHook | None = None
    reads: Sequence[ReadHook] = ()
    """See `Supervisor`."""
    rest: RestHook | None = None
    secrets: Sequence[str] = ()
    encoding: Encoding | None = None
    """What is encoded, if anything is."""
    on_wait: Callable[[], None] = lambda: None
    """Called when a child has to wait for its place."""
    once: bool = False
    """See `Supervisor`."""
    hold: Hold = field(factory=Hold)
    """What may keep children from being started."""


@define(eq=False)
class FfmpegTools:
    """Finds ffmpeg once it is needed (until it is found: each time), and makes supervisors for its children."""

    spawner: Spawner
    places: Places
    log_directory: Path | None
    """`None`: children write no logs; what they say last is in messages all the same."""
    random: Callable[[], float] = random
    offload: Offload = in_thread
    make_directory: Callable[[str], None] = make_directory
    """For what children write. Raises `StepError`."""
    least_free: int = 0
    """Bytes that stay free where children write, 0 for none."""
    free_bytes: Callable[[str], int] = free_bytes
    """Below a directory. Raises `OSError`."""
    capacity: Capacity = field(factory=Capacity)
    memory: MediaMemory = field(factory=MediaMemory)
    """Charged for what waits for children."""
    ended_files: EndedFiles = field()
    outside: OutsideValues = field(factory=OutsideValues)
    """What children and their command lines must not show."""
    _executable: Executable | None = field(default=None, init=False)
    _searching: trio.Lock = field(factory=trio.Lock, init=False)

    @ended_files.default
    def _usual_ended_files(self) -> EndedFiles:
        return EndedFiles(None if self.log_directory is None else self.log_directory / FOLDER)

    async def check(self) -> Executable:
        """The ffmpeg that is used. Raises `StepError` where there is none, or it does not work."""
        async with self._searching:
            if self._executable is None:
                found = self._executable = await find_ffmpeg(self.places, self.spawner, self.offload)
                log.info("ffmpeg found", path=found.path, version=found.version, origin=found.origin)
            return self._executable

    async def look_in(self, places: Places) -> Executable:
        """The ffmpeg in other places than those in use. Raises `StepError` where there is none that works."""
        return await find_ffmpeg(places, self.spawner)

    def use(self, places: Places, executable: Executable) -> None:
        """Run this one for the children of streams that begin from now on."""
        self.places, self._executable = places, executable
        log.info("ffmpeg found", path=executable.path, version=executable.version, origin=executable.origin)

    def disk_room(self, directory: str, on_change: Callable[[int], None]) -> DiskRoom:
        """What pauses children that write there while the disk is almost full."""
        return DiskRoom(directory=directory, least=self.least_free, free_bytes=self.free_bytes, on_change=on_change)

    def supervisor(self, job: Job) -> Supervisor:
        """What keeps the child of `job` running. Only after `check`."""
        assert self._executable is not None
        program = self._executable.path
        has_file = self.log_directory is not None
        name = self.outside.hide(job.stream)
        path = log_path(self.log_directory or Path(), job.workflow, job.step_id, name)
        return Supervisor(
            arguments=lambda: [program, *job.arguments()],
            spawner=self.spawner,
            traces=lambda: self.ended_files.writing(log_trace(path)) if has_file else nullcontext(),
            stderr=StderrLog(path, job.secrets, self.outside.hide, has_file=has_file),
            random=self.random,
            feed=job.feed,
            read=job.read,
            reads=job.reads,
            rest=job.rest,
            state=job.state,
            capacity=self.capacity,
            encoding=job.encoding,
            on_wait=job.on_wait,
            once=job.once,
            hold=job.hold,
        )
