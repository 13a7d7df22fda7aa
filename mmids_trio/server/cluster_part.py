"""What a server does as a node of a cluster beside its streams: fleet, orders to be emptied, and what operators see.

It brings together what each knows by itself: the membership announces what the fleet serves and whether the server is
being emptied; a configuration that cannot be put in place empties the server.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import structlog
import trio
from attrs import asdict, define, evolve, field

from mmids_trio.cluster.directory import RENEW_SECONDS, Directory, Incarnation, NodeEntry, RegistryAway, StreamKey
from mmids_trio.cluster.fleet import Fleet
from mmids_trio.cluster.membership import Membership
from mmids_trio.cluster.questions import Outcome, Question
from mmids_trio.cluster.revisions import Report, Unreadable
from mmids_trio.cluster.sealing import CannotSeal, CannotUnseal, Seal
from mmids_trio.cluster.statuses import (
    MAX_INTERRUPTED,
    MAX_STREAMS,
    ORDER_TTL_SECONDS,
    STATUS_PREFIX,
    DrainOrder,
    NodeStatus,
    StreamRow,
    order_name,
    status_name,
)
from mmids_trio.errors import shortened
from mmids_trio.http_api.cluster_shapes import ClusterKeyView, ClusterNodeView, ClusterStreamView, ClusterView
from mmids_trio.http_api.refusals import Conflict, NotHere
from mmids_trio.http_api.schemas import DrainView
from mmids_trio.on_air.directory import OnAir
from mmids_trio.server.draining import LOOK_SECONDS, Draining
from mmids_trio.server.fleet_configuration import FleetConfiguration, reasons_of
from mmids_trio.workflow.events import FleetFailed, HubEvent

STATUS_TTL_SECONDS = 4 * RENEW_SECONDS
"""A node that has not said for so long how it is shows none."""

STREAMS_PER_TURN = 16
"""Streams that are looked at between two turns of everybody else."""

ORDER_SECONDS = 10.0
"""How long a node may take to carry out an order; it looks every `RENEW_SECONDS`."""

ORDER_BYTES = 8
FLEET = "fleet"
"""Why a server is being emptied that cannot put in place what is decided."""

log = structlog.get_logger()


@define(eq=False, kw_only=True)
class ClusterPart:
    """One node. `entropy`: so many random bytes."""

    member: Membership
    fleet: Fleet
    configuration: FleetConfiguration
    """What the fleet has here."""
    draining: Draining
    _on_air: OnAir
    _seal: Seal
    _entropy: Callable[[int], bytes]
    _publish: Callable[[HubEvent], None]
    _failed: int | None = field(default=None, init=False)
    """The revision of which it was told that it cannot be put in place; it is tried again and again."""
    _order: str = field(default="", init=False)
    _has_caught_up: bool = field(default=False, init=False)
    _nodes: Sequence[NodeEntry] = field(default=(), init=False)
    """As they were seen last."""

    @classmethod
    def of(
        cls,
        member: Membership,
        configuration: FleetConfiguration,
        draining: Draining,
        on_air: OnAir,
        seal: Seal,
        *,
        hide: Callable[[str], str],
        entropy: Callable[[int], bytes],
        publish: Callable[[HubEvent], None],
    ) -> "ClusterPart":
        """With its part in the fleet; `hide` takes secrets out of what others read."""
        fleet = Fleet(
            directory=member.directory,
            owner=member.incarnation,
            seal=seal,
            local=configuration,
            reasons_of=reasons_of(hide),
            is_settled=lambda: member.contact.is_settled(trio.current_time()),
        )
        return cls(
            member=member,
            fleet=fleet,
            configuration=configuration,
            draining=draining,
            on_air=on_air,
            seal=seal,
            entropy=entropy,
            publish=publish,
        )

    def __attrs_post_init__(self) -> None:
        self.member.may_announce = lambda: self._has_caught_up and self.fleet.is_in_date
        self.fleet.on_change = self._take_fleet
        self.draining.node = self.member.node
        self.draining.on_change = lambda: self.member.describe(is_draining=self.draining.is_draining)

    @property
    def _directory(self) -> Directory:
        return self.member.directory

    async def catch_up(self) -> bool:
        """Put in place what is decided, before anybody is served; whether it is known, and in place."""
        try:
            return await self.fleet.catch_up()
        finally:
            self._has_caught_up = True

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take part until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.fleet.run)
            task_status.started()
            while True:
                try:
                    await self._obey()
                    await self._tell()
                except RegistryAway:
                    pass
                except (Unreadable, CannotSeal) as error:
                    log.warning("cluster part does not go on", reason=str(error))
                await trio.sleep(RENEW_SECONDS)

    def _take_fleet(self) -> None:
        """The fleet has something new in place here, or could not put it there."""
        self.member.describe(revision=self.fleet.serves)
        if self.fleet.reasons:
            self._tell_of_failure()
            self.draining.begin(why=FLEET)
        else:
            self._failed = None
            self.draining.end(FLEET)

    def _tell_of_failure(self) -> None:
        """Once for each revision: another try may have other reasons."""
        assert self.fleet.decided is not None
        revision = self.fleet.decided.number
        if revision != self._failed:
            self._failed = revision
            shown = Report.of_reasons(self.member.incarnation, "failed", self.fleet.reasons).reasons
            self._publish(FleetFailed(self.member.node, revision, "; ".join(shown)))

    # What the node says, and is told.

    async def _obey(self) -> None:
        """Carry out an order, once. It is for one life of the node: one that was started again is not emptied."""
        document = await self._directory.read(order_name(self.member.node))
        if document is None:
            return
        order = DrainOrder.from_text(document.text)
        if order.owner != self.member.incarnation or order.id == self._order:
            return
        self._order = order.id
        if order.drains:
            self.draining.begin(order.deadline)
        else:
            self.draining.end()

    async def _tell(self) -> None:
        status = await self._status()
        name = status_name(self.member.node)
        await self._directory.write(name, self._seal.seal(status.to_text(), name), None, STATUS_TTL_SECONDS)

    async def _status(self) -> NodeStatus:
        watchers = Counter[str]()
        for _ in self._on_air.watched(watchers, STREAMS_PER_TURN):
            await trio.lowlevel.checkpoint()
        streams = self._on_air.streams()
        rows = []
        for count, stream in enumerate(streams[:MAX_STREAMS], 1):
            now = trio.current_time()
            rates = (track.bitrate_1s or 0 for track in stream.meter.tracks(now))
            name, workflow = shortened(stream.name), stream.owner.workflow
            rows.append(StreamRow(stream.id, name, workflow, stream.now(now).state, sum(rates), watchers[stream.id]))
            if count % STREAMS_PER_TURN == 0:
                await trio.lowlevel.checkpoint()
        drain = self.draining.view()
        interrupted = self.member.holdings.interrupted()
        return NodeStatus(
            self.member.incarnation,
            drain.publishers,
            drain.watchers,
            len(streams),
            len(interrupted),
            tuple(StreamKey(shortened(each.app), shortened(each.key)) for each in interrupted[:MAX_INTERRUPTED]),
            tuple(rows),
            self.fleet.reasons,
            asdict(drain),
            self._order,
        )

    async def _statuses(self) -> Mapping[Incarnation, NodeStatus]:
        """Of the nodes that have said how they are, this one as it is now. Raises `RegistryAway`."""
        found = {}
        for name, document in await self._directory.documents(STATUS_PREFIX):
            try:
                status = NodeStatus.from_text(self._seal.unseal(document.text, name))
            except (Unreadable, CannotUnseal):
                continue
            found[status.owner] = status
        return {**found, self.member.incarnation: await self._status()}

    # What operators ask; see `http_api.routes.cluster.Cluster`.

    async def view(self) -> ClusterView:
        """See `Cluster`."""
        statuses: Mapping[Incarnation, NodeStatus] = {self.member.incarnation: await self._status()}
        is_up = True
        try:
            self._nodes = await self._directory.nodes()
            statuses = await self._statuses()
        except RegistryAway:
            is_up = False
        entries = {entry.owner: entry for entry in self._nodes}
        entries[self.member.incarnation] = self.member.entry
        ordered = sorted(entries.values(), key=lambda entry: (entry.owner.node, entry.owner.number))
        nodes = tuple(_node(entry, statuses.get(entry.owner)) for entry in ordered)
        decided = self.fleet.decided
        revision = 0 if decided is None else decided.number
        return ClusterView(
            self.member.cluster,
            self.member.node,
            "up" if is_up else "away",
            revision,
            nodes,
            tuple(_warnings(nodes, revision, is_up=is_up)),
        )

    async def streams(self) -> tuple[Sequence[ClusterStreamView], int]:
        """See `Cluster`."""
        statuses = await self._statuses()
        rows = [
            ClusterStreamView(owner.node, row.id, row.name, row.workflow, row.state, row.bitrate, row.watchers)
            for owner, status in statuses.items()
            for row in status.streams
        ]
        left_out = sum(status.stream_count - len(status.streams) for status in statuses.values())
        return sorted(rows, key=lambda row: (row.node, row.id)), left_out

    async def decided(self) -> tuple[int, str]:
        """See `Cluster`."""
        state = await self.fleet.state()
        return (0, "") if state.decided is None else (state.number, self.fleet.unsealed(state.decided))

    async def ask(self, question: Question) -> Outcome:
        """See `Cluster`."""
        return await self.fleet.ask(question)

    # Who is to be emptied; see `http_api.control.Drains`.

    async def begin(self, node: str | None, deadline: float | None) -> DrainView:
        """See `Drains`."""
        if node in (None, self.member.node):
            await trio.lowlevel.checkpoint()
            self.draining.begin(deadline)
            return self.draining.view()
        return await self._order_to(node or "", drains=True, deadline=deadline)

    async def end(self, node: str | None) -> DrainView:
        """See `Drains`."""
        if node in (None, self.member.node):
            await trio.lowlevel.checkpoint()
            self.draining.end()
            return self.draining.view()
        return await self._order_to(node or "", drains=False)

    async def wait(self, node: str | None, seconds: float) -> DrainView:
        """See `Drains`."""
        if node in (None, self.member.node):
            return await self.draining.wait(seconds)
        deadline = trio.current_time() + seconds
        while True:
            status = (await self._statuses()).get((await self._find(node or "")).owner)
            view = None if status is None else _drain(status)
            if view is not None and (view.over or not view.draining or trio.current_time() >= deadline):
                return view
            if trio.current_time() >= max(deadline, deadline - seconds + ORDER_SECONDS):
                raise Conflict(f"node '{node}' has not said how it is")
            await trio.sleep(LOOK_SECONDS)

    async def _find(self, node: str) -> NodeEntry:
        """The newest entry of a node. Raises `NotHere` and `RegistryAway`."""
        found = [entry for entry in await self._directory.nodes() if entry.owner.node == node]
        if not found:
            raise NotHere(f"there is no node '{node}' in the cluster")
        return found[-1]

    async def _order_to(self, node: str, *, drains: bool, deadline: float | None = None) -> DrainView:
        """Tell a node, and wait until it has heard. Raises `NotHere`, `Conflict` and `RegistryAway`."""
        owner = (await self._find(node)).owner
        order = DrainOrder(self._entropy(ORDER_BYTES).hex(), owner, drains, deadline)
        await self._directory.write(order_name(node), order.to_text(), None, ORDER_TTL_SECONDS)
        with trio.move_on_after(ORDER_SECONDS):
            while True:
                status = (await self._statuses()).get(owner)
                if status is not None and status.order == order.id:
                    return _drain(status)
                await trio.sleep(LOOK_SECONDS)
        raise Conflict(f"node '{node}' has not answered within {ORDER_SECONDS:g} s")


def _node(entry: NodeEntry, status: NodeStatus | None) -> ClusterNodeView:
    view = ClusterNodeView(
        entry.owner.node, entry.owner.number, entry.address, entry.is_draining, entry.revision, None, None, None, None
    )
    if status is None:
        return view
    return evolve(
        view,
        streams=status.stream_count,
        publishers=status.publishers,
        watchers=status.watchers,
        interrupted=status.interrupted,
        waiting=tuple(ClusterKeyView(each.app, each.key) for each in status.waiting),
        reasons=status.reasons,
    )


def _drain(status: NodeStatus) -> DrainView:
    try:
        return DrainView(**status.drain)
    except TypeError:
        raise Conflict(f"node '{status.owner.node}' is of another version") from None


def _warnings(nodes: Sequence[ClusterNodeView], revision: int, *, is_up: bool) -> Sequence[str]:
    """What somebody has to look at, a sentence each."""
    told = [] if is_up else ["the registry is away; what is on the air goes on"]
    told += [
        f"node {node.node} cannot put revision {revision} in place and is being emptied: {'; '.join(node.reasons)}"
        for node in nodes
        if node.reasons
    ]
    lives = Counter(node.node for node in nodes)
    told += [f"node {name} is there {count} times" for name, count in sorted(lives.items()) if count > 1]
    return told
