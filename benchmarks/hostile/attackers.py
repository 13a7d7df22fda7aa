"""`python -m benchmarks.hostile.attackers --rtmp PORT ... [ATTACK...]`: the attackers' process.

Apart from the honest clients, whose delays it must not be part of.  It attacks until it is asked to end (SIGTERM), and
then prints what it did and what it found as one JSON object.  With the name of an attack it runs that one alone.
"""

import json
import random
import resource
import signal
from collections import Counter
from collections.abc import Mapping

import click
import trio

from benchmarks.hostile.attacks import ATTACKS, Attack, chosen
from benchmarks.hostile.wire import Breach, Target

AT_ONCE = 3
"""Attacks that go on side by side."""
LASTING = (2.0, 10.0)
"""Seconds of one, from and to."""


@click.command()
@click.option("--rtmp", type=int, required=True, help="Port on 127.0.0.1, as the others.")
@click.option("--api", type=int, required=True)
@click.option("--source", type=int, required=True, help="Where to listen for the server's rtmp_pull.")
@click.option("--media", type=int, default=0, help="Port of viewers over HTTP.")
@click.option("--seed", type=int, default=0)
@click.argument("names", nargs=-1, type=click.Choice(sorted(ATTACKS)), metavar="[ATTACK]...")
def main(*, rtmp: int, api: int, source: int, media: int, seed: int, names: tuple[str, ...]) -> None:
    """Attack a server on this machine: one attack of those named, all the time, or all that can run, at random."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4096), hard), hard))
    target = Target(rtmp, api, source, random.Random(seed), media=media)
    breaches: list[str] = []
    trio.run(_attack_until_asked, chosen(names), target, breaches)
    click.echo(json.dumps({"counts": dict(sorted(target.counts.items())), "breaches": breaches}))


async def _attack_until_asked(attacks: Mapping[str, Attack], target: Target, breaches: list[str]) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            free = {name for name, attack in attacks.items() if not attack.is_constant}
            turns: Counter[str] = Counter()
            for name in attacks.keys() - free:
                nursery.start_soon(attacks[name].run, target)
            for _ in range(min(AT_ONCE, len(free))):
                nursery.start_soon(_one_after_another, attacks, free, turns, target, breaches)
            async for _ in signals:
                break
            nursery.cancel_scope.cancel()


async def _one_after_another(
    attacks: Mapping[str, Attack], free: set[str], turns: Counter[str], target: Target, breaches: list[str]
) -> None:
    """At random, but none again before all have had as many turns."""
    while True:
        name = min(free, key=lambda name: (turns[name], target.random.random()))
        turns[name] += 1
        free.discard(name)
        try:
            with trio.move_on_after(target.random.uniform(*LASTING)):
                await attacks[name].run(target)
        except* Breach as found:
            breaches.append(f"{name}: {found.exceptions[0]}")
        free.add(name)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.hostile.attackers")
