"""Sets of workflows under real publishers and watchers, in memory: who stays, who moves, who is cut."""

from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.config.parser import parse
from mmids_trio.media.events import MediaPacket
from mmids_trio.testing.clients import ClientRefused, RtmpClient
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.workflow.change import Change
from mmids_trio.workflow.plan import SetPlan, StepCut, WorkflowSet
from mmids_trio.workflow.status import OutcomeKind, WorkflowOwner

STREAM = generate_stream(seconds=4)


def workflow(name: str, *, key: str = "*", more: str = "") -> str:
    return (
        f"workflow {name} {{\n rtmp_receive rtmp_app=in_{name} stream_key={key}\n"
        f" rtmp_watch rtmp_app=out_{name} stream_key=*\n {more}\n}}\n"
    )


OF_FILE = WorkflowOwner("config")
NINE = [workflow(f"w{number}") for number in range(9)]


def wanted(harness: Harness, text: str, *delete: str) -> WorkflowSet:
    document = parse(text, "test")
    assert not document.problems
    return harness.server.workflows.validate_all(WorkflowSet(document.workflows, delete, owner=OF_FILE))


def submit(harness: Harness, text: str, *delete: str) -> Change[SetPlan]:
    return harness.server.workflows.apply_all(wanted(harness, text, *delete))


async def send(publisher: RtmpClient, packets: Sequence[MediaPacket]) -> None:
    for packet in packets:
        await publisher.send([packet])
        await trio.sleep(0.001)


@pytest.mark.thorough
async def test_nobody_loses_a_packet_where_the_fifth_of_nine_workflows_fails(autojump_clock: MockClock) -> None:
    other = "workflow other {\n rtmp_receive rtmp_app=taken stream_key=*\n}\n"
    async with Harness("".join(NINE) + other) as h:
        clients = [(await h.watch(f"out_w{n}/k"), await h.publish(f"in_w{n}/k")) for n in range(9)]
        await wait_all_tasks_blocked()  # until the last stream stands in the last step too
        before = {name: h.workflow(name) for name in h.server.workflows.names()}
        changed = [workflow(f"w{n}", more=f"rtmp_watch rtmp_app=more_{n} stream_key=*") for n in range(9)]
        changed[4] = workflow(
            "w4", more="rtmp_watch rtmp_app=m4 stream_key=*\n rtmp_receive rtmp_app=taken stream_key=x"
        )
        async with trio.open_nursery() as nursery:
            for _, publisher in clients:
                nursery.start_soon(send, publisher, STREAM)
            await trio.sleep(0.05)
            outcome = await submit(h, "".join(changed)).wait_outcome()
        assert outcome.kind is OutcomeKind.ROLLED_BACK
        assert outcome.message.startswith("rolled back: workflow 'w4': Step id ")
        assert "taken by workflow 'other'" in outcome.message
        assert {name: h.workflow(name) for name in h.server.workflows.names()} == before
        for watcher, _ in clients:
            await watcher.receive(len(STREAM))
            assert watcher.report(STREAM).is_flawless_from_join
            assert not watcher.report(STREAM).missed
    h.assert_quiet()


@pytest.mark.thorough
async def test_nobody_loses_a_packet_where_a_set_keeps_their_steps(autojump_clock: MockClock) -> None:
    async with Harness("".join(NINE)) as h:
        clients = [(await h.watch(f"out_w{n}/k"), await h.publish(f"in_w{n}/k")) for n in range(9)]
        changed = "".join(workflow(f"w{n}", more=f"rtmp_watch rtmp_app=more_{n} stream_key=*") for n in range(9))
        async with trio.open_nursery() as nursery:
            for _, publisher in clients:
                nursery.start_soon(send, publisher, STREAM)
            for text in (changed, "".join(NINE), changed):
                await trio.sleep(0.02)
                assert (await submit(h, text).wait_outcome()).kind is OutcomeKind.APPLIED
        for watcher, _ in clients:
            await watcher.receive(len(STREAM))
            assert not watcher.report(STREAM).missed


async def test_keys_are_exchanged_in_one_set(autojump_clock: MockClock) -> None:
    def pair(a: str, b: str) -> str:
        text = (
            "workflow {0} {{\n rtmp_receive rtmp_app=in stream_key={1}\n rtmp_watch rtmp_app=out_{0} stream_key=*\n}}\n"
        )
        return text.format("a", a) + text.format("b", b)

    async with Harness(pair("one", "two")) as h:
        old = [await h.publish(f"in/{key}") for key in ("one", "two")]
        watchers = {name: await h.watch(f"out_{name}/*") for name in "ab"}
        assert (await submit(h, pair("two", "one")).wait_outcome()).kind is OutcomeKind.APPLIED
        for publisher in old:  # as those of any step that is stopped
            await publisher.read_until_closed()
        for name, key in (("a", "two"), ("b", "one")):
            await h.publish(f"in/{key}", STREAM[:10])
            watchers[name].close()
            watcher = await h.watch(f"out_{name}/{key}")
            assert await watcher.receive(3)
    h.assert_quiet()


async def test_a_key_moves_from_a_deleted_workflow_to_a_new_one(autojump_clock: MockClock) -> None:
    async with Harness(workflow("a") + workflow("b")) as h:
        moved = "workflow c {\n rtmp_receive rtmp_app=in_a stream_key=*\n rtmp_watch rtmp_app=out_a stream_key=k\n}\n"
        assert (await submit(h, moved, "a").wait_outcome()).kind is OutcomeKind.APPLIED
        assert list(h.server.workflows.names()) == ["b", "c"]
        await h.publish("in_a/k", STREAM[:10])
        assert await (await h.watch("out_a/k")).receive(3)
    h.assert_quiet()


async def test_a_key_that_does_not_become_free_is_refused_and_two_of_a_set_cannot_have_one(
    autojump_clock: MockClock,
) -> None:
    async with Harness(workflow("a") + workflow("b")) as h:
        for text in (
            "workflow c {\n rtmp_receive rtmp_app=in_a stream_key=*\n}\n",
            workflow("b", key="x") + "workflow c {\n rtmp_receive rtmp_app=in_b stream_key=x\n}\n",
        ):
            outcome = await submit(h, text).wait_outcome()
            assert outcome.kind is OutcomeKind.ROLLED_BACK
            assert outcome.message.startswith("rolled back: workflow 'c': Step id ")
        await h.publish("in_a/k")
        await h.publish("in_b/k")
        with pytest.raises(ClientRefused):
            await h.publish("in_b/k")


async def test_a_plan_counts_the_clients_that_would_be_disconnected(autojump_clock: MockClock) -> None:
    async with Harness(workflow("a") + workflow("b") + workflow("c")) as h:
        for name in "ab":
            for key in ("k", "l"):
                await h.publish(f"in_{name}/{key}")
        leaver = await h.publish("in_a/m")
        for _ in range(3):
            await h.watch("out_a/k")
        await leaver.unpublish()
        await trio.sleep(0.1)
        text = "workflow a {\n rtmp_receive rtmp_app=in_a stream_key=*\n}\n"
        plan = h.server.workflows.plan_all(wanted(h, text, "b"))
        named = [StepCut(cut.workflow, "", cut.step_type, cut.publishers, cut.watchers) for cut in plan.cuts]
        assert named == [
            StepCut("a", "", "rtmp_watch", 0, 3),
            StepCut("b", "", "rtmp_receive", 2, 0),
            StepCut("b", "", "rtmp_watch", 0, 0),
        ]
        assert (plan.publishers, plan.watchers) == (2, 3)
        assert not h.server.workflows.plan_all(wanted(h, workflow("a"))).changed
