"""How a workflow's task carries out its part in a transaction; apart from the transaction, which leads all parts."""

import trio

from mmids_trio.workflow.line import Line, stop
from mmids_trio.workflow.transaction import Part


async def carry_out_part(part: Part, line: Line, nursery: trio.Nursery) -> None:
    """From the part's turn until everything is stopped that was taken out, or else taken back."""
    _prepare(part, line)
    part.arrived.set()
    with part.scope:
        await _come_to_rest(part, line, nursery)
        await part.transaction.swapped.wait()
    if part.transaction.is_swapped:
        await stop(part.removed)
    else:
        line.chain.release()
        await stop(part.fresh)


def _prepare(part: Part, line: Line) -> None:
    line.peers = part.transaction.lines
    if part.definition is None:
        line.prepare_end()
    else:
        part.fresh = line.prepare(line.plan(part.definition))


async def _come_to_rest(part: Part, line: Line, nursery: trio.Nursery) -> None:
    """Phase by phase, each together with the other parts."""
    if part.fresh:
        await part.may_start.wait()
        await line.start(nursery, part.fresh)
        failed = next((cell for cell in part.fresh if cell.error is not None), None)
        if failed is not None:
            part.fail(failed)
    part.started.set()
    await part.transaction.may_settle.wait()
    await line.settle()
    part.settled.set()
