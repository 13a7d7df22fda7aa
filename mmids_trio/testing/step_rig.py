"""One step by itself: the inbox and the outlet of a workflow around it, and an eye on all that it starts.

Apart from what is done to the step there (`step_scenarios`): the rig starts the step, watches its tasks, cancels it as
a workflow does, and sees that nothing is left.
"""

import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext

import trio
import trio.testing
from attrs import define, field, frozen

from mmids_trio.config.parser import parse_workflow
from mmids_trio.definitions import StepDefinition
from mmids_trio.errors import ConfigurationError
from mmids_trio.media.events import MediaEvent, StreamEnded, StreamId
from mmids_trio.steps.registry import StepType
from mmids_trio.testing.quiet import TaskWatch, describe_task
from mmids_trio.testing.step_ends import FakeStepContext
from mmids_trio.testing.step_rules import Judge, StepFault, StepRule
from mmids_trio.testing.stuck import BlockingCall, describe_tasks
from mmids_trio.testing.watchdog import active_watchdog, wake_with
from mmids_trio.workflow.links import ChannelInbox, Outlet
from mmids_trio.workflow.step import Step

START_SECONDS = 60
"""Of virtual time that a step may take to be ready."""

END_SECONDS = 60
"""Of virtual time that a cancelled step may take to end."""

IDLE_THREAD = "Trio thread"
"""How the names of threads begin that trio keeps for later work."""

World = Callable[[], AbstractAsyncContextManager[StepType]]
"""What a step lives in; entered anew for each run."""


@frozen
class Belongings:
    """What a process has besides memory: threads at work, and open files and sockets."""

    threads: frozenset[threading.Thread]
    files: frozenset[tuple[str, str]]

    @classmethod
    def now(cls) -> "Belongings":
        """Those of this moment."""
        threads = (one for one in threading.enumerate() if not one.name.startswith(IDLE_THREAD))
        return cls(frozenset(threads), frozenset(_open_files()))

    def beyond(self, before: "Belongings") -> Iterator[str]:
        """A sentence for each thing that was not there before."""
        for thread in self.threads - before.threads:
            yield f"the thread {thread.name} still runs"
        for number, name in sorted(self.files - before.files):
            yield f"the file or socket {name} (descriptor {number}) is still open"


def _open_files() -> Iterator[tuple[str, str]]:
    folder = "/proc/self/fd"
    for number in os.listdir(folder) if os.path.isdir(folder) else ():
        try:
            name = os.readlink(f"{folder}/{number}")
        except OSError:  # the one of the listing itself
            continue
        if not name.startswith("/proc/"):  # where the watchdog's thread looks now and then
            yield number, name


class WatchedOutlet(Outlet):
    """An outlet whose judge sees everything that leaves the step, in its order, before the guard of the link does."""

    def __init__(self, judge: Judge) -> None:
        super().__init__()
        self._judge = judge
        self._ends_at_once: MediaEvent | None = None

    def _admit(self, events: Sequence[MediaEvent]) -> Sequence[MediaEvent]:
        for event in events:
            if event is not self._ends_at_once:
                self._judge.send(event, trio.current_time())
        return super()._admit(events)

    def end_stream(self, stream_id: StreamId) -> None:
        """See `workflow.step.Outbox`; a stream that is not known is none that is wrong."""
        self._judge.end_at_once(stream_id)
        self._ends_at_once = StreamEnded(stream_id)
        self.push([self._ends_at_once])


@define(eq=False)
class StepTasks(TaskWatch):
    """Knows the tasks of the step, counts the steps that they take, and cancels the step at one of these."""

    cancel_at: int = 0
    """None has this number."""
    cancel: Callable[[], object] = lambda: None
    checkpoints: int = field(default=0, init=False)

    def owns(self, task: trio.lowlevel.Task) -> bool:
        """Whether the task is one of the step's."""
        return task in self._living

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Inside the tasks of the step are known, and must not keep the loop."""
        watchdog = active_watchdog()
        try:
            with self, nullcontext() if watchdog is None else watchdog.judging(self.owns):
                yield
        except BlockingCall as blocking:
            raise StepFault(StepRule.BLOCKS, str(blocking)) from None

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """See `trio.abc.Instrument`."""
        if task in self._living:
            self.checkpoints += 1
            if self.checkpoints == self.cancel_at:
                self.cancel()


@define(eq=False)
class Rig:
    """A step that runs."""

    step: Step
    judge: Judge
    inbox: ChannelInbox
    outlet: WatchedOutlet
    after: ChannelInbox
    tasks: StepTasks
    ended: trio.Event = field(factory=trio.Event)
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    _ready: trio.Event = field(factory=trio.Event)
    _has_returned: bool = False
    _failure: Exception | None = None

    async def host(self) -> None:
        """Run the step; a failure is kept for `require_running` and `stop`."""
        try:
            with self.scope:
                async with trio.open_nursery() as nursery:
                    await nursery.start(self._run)
                    self._ready.set()
        except Exception as error:
            self._failure = error
        finally:
            self.ended.set()

    async def _run(self, *, task_status: trio.TaskStatus[None]) -> None:
        await self.step.run(self.inbox, self.outlet, task_status=task_status)
        self._has_returned = True

    async def wait_ready(self) -> None:
        """Until the step has called `started()`."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cancel_at_end, nursery.cancel_scope)
            with trio.move_on_after(START_SECONDS) as patience:
                await self._ready.wait()
            nursery.cancel_scope.cancel()
        if patience.cancelled_caught:
            raise StepFault(StepRule.READY, f"{START_SECONDS} s after its start the step is not ready:\n{self.where()}")
        self.require_running()

    async def _cancel_at_end(self, scope: trio.CancelScope) -> None:
        await self.ended.wait()
        scope.cancel()

    def require_running(self) -> None:
        """The step has not ended by itself."""
        if not self.ended.is_set() or self.is_cancelled:
            return
        if self._has_returned:
            raise StepFault(StepRule.RUNS, "`run` returned by itself")
        if not self._ready.is_set() and isinstance(self._failure, RuntimeError):
            raise StepFault(StepRule.READY, "`run` ended before it called `task_status.started()`")
        raise StepFault(StepRule.RUNS, f"`run` raised {self._failure!r}") from self._failure

    def where(self) -> str:
        """Where the tasks of the step wait."""
        return describe_tasks(task for task in self.tasks.living if not task.name.endswith("Rig.host"))

    async def stop(self) -> None:
        """Cancel the step as a workflow does, and see that it ends and leaves nothing."""
        if not self.is_cancelled:
            self.require_running()
            self.cancel()
        await self._wait_end()

    @property
    def is_cancelled(self) -> bool:
        """Whether the step was told to end."""
        return self.scope.cancel_called

    def cancel(self) -> None:
        """Tell the step to end, as a workflow does."""
        self.outlet.detach()
        self.scope.cancel()

    async def _wait_end(self) -> None:
        with trio.move_on_after(END_SECONDS):
            await self.ended.wait()
        if not self.ended.is_set():
            fault = StepFault(StepRule.ENDS, f"{END_SECONDS} s after it was cancelled it still waits:\n{self.where()}")
            for task in self.tasks.living:
                wake_with(task, fault)
            raise fault
        if self._failure is not None:
            raise StepFault(StepRule.ENDS, f"when cancelled, `run` raised {self._failure!r}") from self._failure
        if self._has_returned or not self.scope.cancelled_caught:
            raise StepFault(StepRule.CANCELLED, "`run` was cancelled and returned as if it had not been")


@frozen
class Case:
    """A kind of step in its world, with its parameters as they are written."""

    world: World
    parameters: str
    depends_on_time: bool = False
    """Whether what comes out does, so that no two runs need have the same."""

    def definition(self, step_type: StepType) -> StepDefinition:
        """The step as a configuration has it. Raises `ConfigurationError`."""
        text = f"workflow check {{\n    {step_type.name} {self.parameters}\n}}\n"
        [definition] = parse_workflow(text, "check_step").steps
        if problems := step_type.problems(definition):
            raise ConfigurationError(problems)
        return step_type.canonical(definition)


@asynccontextmanager
async def rigged(case: Case, *, room: int = 16, cancel_at: int = 0) -> AsyncIterator[Rig]:
    """The step runs and is ready; behind the block it is stopped, and nothing is left of it.

    `room`: batches that the links in front of it and behind it hold.  `cancel_at`: the checkpoint at which the step is
    cancelled before that.
    """
    async with case.world() as step_type:
        before = Belongings.now()
        definition = case.definition(step_type)
        step = step_type.factory(definition)(FakeStepContext("check", "step-1"))
        judge = Judge(step.flow)
        inbox, after, outlet = ChannelInbox(room), ChannelInbox(room), WatchedOutlet(judge)
        outlet.connect(after)
        rig = Rig(step, judge, inbox, outlet, after, StepTasks(cancel_at=cancel_at))
        rig.tasks.cancel = rig.cancel
        with rig.tasks.watched():
            async with trio.open_nursery() as nursery:
                rig.tasks.nursery = nursery
                nursery.start_soon(rig.host)
                await rig.wait_ready()
                yield rig
                await rig.stop()
                await require_nothing_left(rig.tasks, before)
        judge.require_fine()


async def require_nothing_left(tasks: TaskWatch, before: Belongings, when: str = "") -> None:
    """No task, thread or file of the step is there any more."""
    if tasks.living:
        await trio.testing.wait_all_tasks_blocked()
    left = [f"the task {describe_task(task)} still runs" for task in tasks.living]
    if left := [*left, *Belongings.now().beyond(before)]:
        raise StepFault(StepRule.NOTHING_LEFT, "\n".join([*([when] if when else []), *left]))
