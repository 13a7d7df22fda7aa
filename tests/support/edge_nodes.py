"""Several servers of one cluster in one test, on one network in memory, with a cluster that answers at once."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise

from attrs import define, evolve, field

from mmids_trio.cluster.directory import StreamKey
from mmids_trio.media.events import MediaKind, MediaPacket
from mmids_trio.server.building import World
from mmids_trio.testing.clients import RtmpClient
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.network import MemoryNetwork
from mmids_trio.testing.web import WebAnswer, WebClient
from tests.support.fake_claims import FakeClaims, FakeCluster
from tests.support.publishing import WAIT_FOR_ALL

KEY = StreamKey("live", "key")

STEPS = """
rtmp_receive rtmp_app=live stream_key=* port={port} cluster
rtmp_watch rtmp_app=live stream_key=* port={port} cluster""".strip()
HTTP = "http_watch app=live stream_key=* port={http} segment=1s cluster"


@define(eq=False, repr=False)
class Node:
    """One server. Its RTMP clients connect to `port`, those of HTTP to `http`."""

    name: str
    claims: FakeClaims
    port: int
    http: int
    harness: Harness

    async def publish(self, key: str = "live/key", packets: Sequence[MediaPacket] = ()) -> RtmpClient:
        """See `Harness.publish`."""
        return await self.harness.publish(key, packets, port=self.port)

    async def watch(self, key: str = "live/key") -> RtmpClient:
        """See `Harness.watch`."""
        return await self.harness.watch(key, port=self.port)

    async def web(self, target: str, **headers: str) -> WebAnswer:
        """Ask for something over HTTP, over a connection of its own."""
        client = WebClient(await self.harness.open(port=self.http))
        try:
            return await client.get(target, **headers)
        finally:
            client.close()

    @property
    def pulls(self) -> int:
        """How many clients of this node are other nodes."""
        return sum(client.asked.token == "cluster" for client in self.harness.server.on_air.clients())

    @property
    def streams(self) -> list[str]:
        """The streams that it has, each with where it comes from."""
        return [
            f"{entry.name} from {source.location or source.protocol}"
            for entry in self.harness.server.on_air.streams()
            if (source := entry.source_view()) is not None
        ]


@define(eq=False, repr=False)
class Nodes:
    """All of them, and what they agree on."""

    cluster: FakeCluster = field(factory=FakeCluster)
    network: MemoryNetwork = field(factory=MemoryNetwork)
    all: dict[str, Node] = field(factory=dict)

    def __getitem__(self, name: str) -> Node:
        return self.all[name]


@asynccontextmanager
async def running(names: str, steps: str = STEPS, settings: str = "") -> AsyncIterator[Nodes]:
    """Nodes, one for each letter, that all run `steps`."""
    nodes = Nodes()
    async with AsyncExitStack() as stack:
        for place, name in enumerate(names):
            port, http = 1935 + place, 8081 + place
            claims = nodes.cluster.node(name, f"rtmp://{name}.example:{port}")

            def in_world(world: World, claims: FakeClaims = claims) -> World:
                return evolve(world, claims=claims)

            text = f"{WAIT_FOR_ALL}{settings}workflow w {{\n{steps.format(port=port, http=http)}\n}}\n"
            harness = await stack.enter_async_context(Harness(text, network=nodes.network, in_world=in_world))
            nodes.all[name] = Node(name, claims, port, http, harness)
        yield nodes


def is_monotonic(packets: Sequence[MediaPacket]) -> bool:
    """Whether no track of what a watcher got goes back."""
    for kind in MediaKind:
        times = [packet.timestamp for packet in packets if packet.kind is kind]
        if any(later < earlier for earlier, later in pairwise(times)):
            return False
    return True
