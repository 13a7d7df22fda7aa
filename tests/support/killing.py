"""A client that changes workflows at random and knows what a server that is killed has to come back with."""

import random
from collections.abc import Mapping

import httpx2
import trio
from attrs import define, field

NAMES = tuple(f"w{number}" for number in range(6))
CLIENTS = 2
"""Each with names of its own, so that writes are shared and an order of answers is never a guess."""

Version = str | None
"""The stream key in a workflow's only step; `None`: there is no such workflow."""


@define(eq=False)
class Ledger:
    """What the server has promised, and what it was asked for without an answer."""

    acknowledged: dict[str, Version]
    in_flight: dict[str, Version] = field(factory=dict)
    answers: int = 0
    _news: trio.Event = field(factory=trio.Event, init=False)

    def note_answer(self) -> None:
        """The server has answered."""
        self.answers += 1
        self._news.set()
        self._news = trio.Event()

    async def answered(self, answers: int) -> None:
        """Wait for so many answers in all."""
        while self.answers < answers:
            await self._news.wait()

    def allowed(self, name: str) -> set[Version]:
        """What may be found after a restart."""
        found = {self.acknowledged[name]}
        return found | {self.in_flight[name]} if name in self.in_flight else found

    def problems(self, found: Mapping[str, Version]) -> list[str]:
        """Everything that should not have been found."""
        return [
            f"{name}: found {found.get(name)}, allowed {self.allowed(name)}"
            for name in {*NAMES, *found}
            if found.get(name) not in (self.allowed(name) if name in NAMES else {None})
        ]


def workflow(name: str, key: str) -> str:
    """The text of one version."""
    return f"workflow {name} {{\n    rtmp_receive rtmp_app={name} stream_key={key} port=0\n}}\n"


async def change_until_killed(api: str, ledger: Ledger, seed: int) -> None:
    """Clients that change what they like, until the server answers no more."""
    async with trio.open_nursery() as nursery:
        for client in range(CLIENTS):
            nursery.start_soon(_change, api, ledger, NAMES[client::CLIENTS], random.Random(seed * CLIENTS + client))


async def _change(api: str, ledger: Ledger, names: tuple[str, ...], chance: random.Random) -> None:
    async with httpx2.AsyncClient(base_url=api, trust_env=False) as client:
        try:
            while True:
                name, key = chance.choice(names), f"k{chance.getrandbits(40)}"
                wanted = None if chance.random() < 0.3 else key
                ledger.in_flight[name] = wanted
                if wanted is None:
                    answer = await client.delete(f"/workflows/{name}")
                else:
                    query = chance.choice(("", "?wait=20", "?wait=20&on_error=rollback"))
                    answer = await client.put(f"/workflows{query}", content=workflow(name, key))
                assert answer.status_code == 200, answer.text
                ledger.acknowledged[name] = ledger.in_flight.pop(name)
                ledger.note_answer()
        except httpx2.TransportError:
            return


async def find(api: str) -> dict[str, Version]:
    """What runs."""
    async with httpx2.AsyncClient(base_url=api, trust_env=False) as client:
        found: dict[str, Version] = {}
        for name in (await client.get("/workflows")).json():
            found[name["name"]] = await _version(client, name["name"])
        return found


async def _version(client: httpx2.AsyncClient, name: str) -> Version:
    details = (await client.get(f"/workflows/{name}")).json()
    [step] = details["pending_steps"] or details["active_steps"]
    return str(step["parameters"]["stream_key"])
