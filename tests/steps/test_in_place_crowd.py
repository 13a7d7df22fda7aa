"""Forty watchers and a publisher through a hundred random changes in place.

Exactly those are cut whom a rule excludes, as the plan has said, and what the others get has no gap.
"""

from collections.abc import Sequence
from hashlib import sha256
from ipaddress import ip_address, ip_network
from random import Random

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock

from mmids_trio.media.events import MediaPacket
from mmids_trio.testing.clients import RtmpClient
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.workflow.events import StreamWentOff

pytestmark = pytest.mark.thorough

WATCHERS, CHANGES = 40, 100
STREAM = generate_stream(seconds=13)
PUBLISHER = "10.9.0.1"
NETWORKS = [f"10.{number}.0.0/16" for number in range(6)]
STEP_SECONDS = 0.1


@define
class Rules:
    """Random parameters of both steps, and whom they let in."""

    random: Random
    receive: dict[str, str] = field(factory=dict)
    watch: dict[str, str] = field(factory=dict)

    def text(self) -> str:
        """The workflow."""
        lines = [
            f"rtmp_{kind} rtmp_app=live stream_key=* {' '.join(f'{name}={value}' for name, value in given.items())}"
            for kind, given in (("receive", self.receive), ("watch", self.watch))
        ]
        return "workflow w {\n" + "\n".join(lines) + "\n}\n"

    def change(self) -> None:
        """Another value for one or two of the parameters."""
        for _ in range(self.random.randint(1, 2)):
            self.random.choice([self._rule, self._rule, self._watch, self._receive])()

    def _rule(self) -> None:
        self.watch.pop("allow_ips", None)
        self.watch.pop("deny_ips", None)
        name = self.random.choice(["allow_ips", "deny_ips", ""])
        if name:
            count = self.random.randint(3, 6) if name == "allow_ips" else self.random.randint(1, 2)
            self.watch[name] = ",".join(self.random.sample(NETWORKS, count))

    def _watch(self) -> None:
        name, values = self.random.choice(
            [("max_lag", ["5", "30", "60"]), ("gop_cache", ["true", "false"]), ("send_interval", ["0", "50", "200"])]
        )
        self.watch[name] = self.random.choice(values)

    def _receive(self) -> None:
        name, values = self.random.choice(
            [
                ("on_busy", ["refuse", "takeover"]),
                ("grace", ["0", "3", "9"]),
                ("stall_after", ["0", "5"]),
                ("publish_token", ["one", "two"]),
                ("allow_ips", [f"10.9.0.0/{bits}" for bits in (8, 16, 24)]),
            ]
        )
        self.receive[name] = self.random.choice(values)

    def permit(self, host: str) -> bool:
        """Whether a watcher may be there."""

        def within(name: str) -> bool:
            networks = map(ip_network, filter(None, self.watch.get(name, "").split(",")))
            return any(ip_address(host) in network for network in networks)

        return within("allow_ips") if "allow_ips" in self.watch else not within("deny_ips")


@define(eq=False)
class Crowd:
    """Those who watch, with their addresses, and those who have been cut."""

    h: Harness
    rules: Rules
    nursery: trio.Nursery
    here: dict[RtmpClient, str] = field(factory=dict)
    cut: list[RtmpClient] = field(factory=list)

    async def fill(self) -> None:
        """Newcomers from where they may come from, until there are forty."""
        while len(self.here) < WATCHERS:
            host = f"10.{self.rules.random.randrange(6)}.0.{self.rules.random.randint(1, 200)}"
            if self.rules.permit(host):
                watcher = await self.h.watch("live/key", peer_host=host)
                self.here[watcher] = host
                self.nursery.start_soon(watcher.read_until_closed)

    async def change(self) -> int:
        """One change: what is planned, then what happens. Returns how many were cut."""
        self.rules.change()
        excluded = {client for client, host in self.here.items() if not self.rules.permit(host)}
        text, query = self.rules.text(), "take_over=true&in_place=true"
        planned = await self.h.http.request("POST", f"/config/plan?{query}", content=text)
        plan = planned.json()
        assert (plan["publishers"], plan["watchers"]) == (0, len(excluded))
        assert {step["action"] for step in plan["workflows"][0]["steps"]} <= {"keep", "change"}
        done = await self.h.http.request(
            "PUT",
            f"/config?wait=10&{query}&max_disconnects={len(excluded)}",
            content=text,
            headers={"If-Match": planned.headers["etag"]},
        )
        assert (done.status, done.json()) == (200, plan)
        await trio.sleep(STEP_SECONDS)
        assert {client for client in self.here if client.is_disconnected} == excluded
        for client in excluded:
            del self.here[client]
            self.cut.append(client)
        return len(excluded)


def digest(packets: Sequence[MediaPacket]) -> str:
    return sha256(b"".join(packet.data for packet in packets)).hexdigest()


def frames_of(packets: Sequence[MediaPacket]) -> list[MediaPacket]:
    return [packet for packet in packets if not packet.is_sequence_header]


@pytest.mark.parametrize("seed", range(2))
async def test_exactly_those_are_cut_whom_a_rule_excludes_and_all_others_miss_nothing(
    seed: int, autojump_clock: MockClock
) -> None:
    async with Harness(Rules(Random(seed)).text()) as h, trio.open_nursery() as nursery:
        crowd = Crowd(h, Rules(Random(seed)), nursery)
        publisher = await h.publish("live/key", peer_host=PUBLISHER)
        began = trio.current_time()

        async def play() -> None:
            for packet in STREAM:
                await trio.sleep_until(began + packet.timestamp / 1000)
                await publisher.send([packet])

        nursery.start_soon(play)
        cut = 0
        for _ in range(CHANGES):
            await crowd.fill()
            cut += await crowd.change()
        await trio.sleep(STREAM[-1].timestamp / 1000 + 3)
        assert cut > WATCHERS
        assert len(crowd.cut) == cut
        assert not [event for event in h.events() if isinstance(event, StreamWentOff)]
        sent = frames_of(STREAM)
        place = {packet.data: number for number, packet in enumerate(sent)}
        for watcher in (*crowd.here, *crowd.cut):
            got = frames_of(watcher.packets)
            start = place[got[0].data] if got else 0
            assert digest(got) == digest(sent[start : start + len(got)])
            if watcher in crowd.here:
                assert start + len(got) == len(sent)
        nursery.cancel_scope.cancel()
    h.assert_quiet()
