"""How often Python looks for garbage: seldom while a server starts, and less often than usual from then on."""

import gc

_STARTING = (20_000, 20, 50)
"""While a server is imported and starts. Python's own made 10,000 workflows of 3 steps start in 10.7 s instead of
3.9 s: almost everything that is made then lives until the end, and would be looked at again and again."""

_RUNNING = (10_000, 2, 50)
"""From then on. With Python's own (700) the slowest of 30 updates of a workflow with 50 steps and 500 watchers took 10
to 17 ms, with these 8: packets come and go all the time, and are no garbage of the kind that is looked for. The middle
generation is looked at while it is small: with a ten in its place a look held the loop up for 80 to 94 ms, and the
longest gap of 500 watchers was 1.3 times as long."""


def while_starting() -> None:
    """From before a server is imported."""
    gc.set_threshold(*_STARTING)


def while_running() -> None:
    """From when it runs: what there is stays, and is not looked at any more."""
    gc.freeze()
    gc.set_threshold(*_RUNNING)
