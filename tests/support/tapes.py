"""Recording in virtual time: a tape in memory, and a harness whose server is captured on it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from attrs import define, field

from mmids_trio.capture.masking import HEADERS, MASK, Masking
from mmids_trio.capture.records import Start
from mmids_trio.capture.tape import Tape, read_tape
from mmids_trio.capture.writer import CaptureWriter
from mmids_trio.config.settings import Settings
from mmids_trio.server.building import build_server
from mmids_trio.server.capturing import hooks_of
from mmids_trio.testing.harness import Harness

SECRET = b"of a test, so that its pseudonyms are always the same"
MEBIBYTE = 1024 * 1024
CLOCK = 1_800_000_000
"""When all tapes of tests were captured."""


@define(eq=False)
class MemoryTape:
    """A `Sink` in memory. While `seconds` is set, every write takes so long; `error` is raised instead of writing; one
    that `hangs` never ends."""

    data: bytearray = field(factory=bytearray)
    seconds: float = 0.0
    error: OSError | None = None
    hangs: bool = False

    async def write(self, data: bytes) -> None:
        """See `Sink`."""
        if self.hangs:
            await trio.sleep_forever()
        with trio.CancelScope(shield=True):
            await trio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        self.data += data

    def read(self) -> Tape:
        """What is on it."""
        return read_tape(bytes(self.data))


def start_record(configuration: str = "", media: str = HEADERS, secrets: str = MASK) -> Start:
    """The first record of a tape."""
    return Start(0, "test", media, secrets, CLOCK, configuration.encode())


@asynccontextmanager
async def capturing(
    configuration: str, *, media: str = HEADERS, secrets: str = MASK, max_bytes: int = 16 * MEBIBYTE, **more: Any
) -> AsyncIterator[tuple[Harness, MemoryTape]]:
    """Run a harness and record its server; the tape is whole when the block has ended. `more`: see `Harness`."""
    tape = MemoryTape()
    known = build_server(
        Settings(), more_steps=more.get("more_steps", ()), more_executors=more.get("more_executors", ())
    )
    declared = known.steps.secrets | known.executors.secrets
    capture = CaptureWriter(tape, Masking(SECRET, media, secrets, declared), max_bytes)
    harness = Harness(configuration, hooks=hooks_of(capture), **more)
    async with trio.open_nursery() as nursery:
        await nursery.start(capture.run, start_record(configuration, media, secrets))
        async with harness:
            yield harness, tape
        nursery.cancel_scope.cancel()
