"""The types of the plugin's fixtures, for tests that are checked.

Of the others: `memory_network` is a `MemoryNetwork`, `fake_ffmpeg` a `FakeFfmpeg`, `fake_reactor` a
`FakeReactorService`, `schedule_seed` an `int`, and `autojump_clock` of pytest-trio a `trio.testing.MockClock`.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypedDict, Unpack

from mmids_trio.ffmpeg.process import Spawner
from mmids_trio.reactors.executor import ExecutorKind
from mmids_trio.reload.configuration_file import Configuration
from mmids_trio.server.building import Hooks, World
from mmids_trio.steps.registry import StepType
from mmids_trio.testing.fault_words import Faults
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.network import MemoryNetwork
from mmids_trio.testing.watchdog import Limits


class HarnessOptions(TypedDict, total=False):
    """What `Harness` takes besides the configuration."""

    more_steps: Sequence[StepType]
    network: MemoryNetwork
    spawner: Spawner
    more_executors: Sequence[ExecutorKind]
    all_must_run: bool
    load_again: Callable[[], Configuration] | None
    now: Callable[[], float]
    hooks: Hooks
    faults: Faults | None
    limits: Limits | None
    in_world: Callable[[World], World]


class StartHarness(Protocol):
    """The fixture `harness`: `async with harness(configuration, more_steps=...) as h`."""

    def __call__(
        self, configuration: str = "", **more: Unpack[HarnessOptions]
    ) -> AbstractAsyncContextManager[Harness]: ...
