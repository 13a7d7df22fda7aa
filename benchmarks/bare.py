"""How long trio itself takes for the tree of tasks that many workflows need: `python -m benchmarks.bare 10000`.

A nursery for each workflow, and in it three steps, each a task in a scope of its own with a channel to the next, that
are waited for until they are ready; nothing else.  Prints the seconds.
"""

import gc
import sys
import time
from functools import partial

import trio

STEPS = 3


async def _step(inbox: trio.MemoryReceiveChannel[object], *, task_status: trio.TaskStatus[None]) -> None:
    with trio.CancelScope():
        task_status.started()
        await inbox.receive()


async def _workflow(*, task_status: trio.TaskStatus[None]) -> None:
    async with trio.open_nursery() as nursery:
        outboxes = []
        for _ in range(STEPS):
            outbox, inbox = trio.open_memory_channel[object](16)
            outboxes.append(outbox)
            await nursery.start(partial(_step, inbox))
        task_status.started()
        await trio.sleep_forever()


async def _main(count: int) -> None:
    begin = time.monotonic()
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            await nursery.start(_workflow)
        print(f"{time.monotonic() - begin:.3f}")
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    gc.disable()  # as good as what the server does while it starts
    trio.run(_main, int(sys.argv[1]))
