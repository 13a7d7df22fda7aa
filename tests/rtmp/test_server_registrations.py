"""Steps that want the same thing, and the ports that their registrations keep open."""

import errno
from collections.abc import Callable

import pytest
from attrs import define, field
from structlog.typing import EventDict
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.testing.harness import Harness
from mmids_trio.testing.network import MemoryListener, MemoryNetwork
from mmids_trio.testing.recorder import Recorder
from mmids_trio.workflow.status import OutcomeKind

RUNNING = "Running"


def workflow(name: str, *steps: str) -> str:
    return f"workflow {name} {{\n" + "\n".join(steps) + "\n}\n"


def receive(key: str, parameters: str = "", app: str = "live") -> str:
    return f"rtmp_receive rtmp_app={app} stream_key={key} {parameters}"


def watch(key: str, parameters: str = "", app: str = "live") -> str:
    return f"rtmp_watch rtmp_app={app} stream_key={key} {parameters}"


@define
class CountingNetwork(MemoryNetwork):
    """Knows what was opened and closed; refuses `forbidden` ports."""

    forbidden: frozenset[int] = frozenset()
    history: list[str] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        MemoryNetwork.__init__(self)

    def listen(self, host: str | None, port: int) -> MemoryListener:
        if port in self.forbidden:
            raise PermissionError(errno.EACCES, "permission denied")
        listener = super().listen(host, port)
        self.history.append(f"open {port} on {host or 'all'}")
        return listener

    def forget(self, listener: MemoryListener) -> None:
        if listener.port in self.open_ports:
            self.history.append(f"close {listener.port}")
        super().forget(listener)


@pytest.mark.parametrize("step", [receive, watch])
@pytest.mark.parametrize(("first", "second"), [("a", "a"), ("*", "a"), ("a", "*"), ("*", "*")])
async def test_a_conflict_puts_the_later_workflow_in_error_and_names_the_earlier(
    step: Callable[[str], str], first: str, second: str, autojump_clock: MockClock
) -> None:
    async with Harness(workflow("first", step(first))) as h:
        outcome = await h.put(workflow("second", step(second)))
        assert outcome.kind is OutcomeKind.FAILED
        assert f"stream key '{second}'" in outcome.message
        assert "is taken by workflow 'first'" in outcome.message
        assert h.workflow("second").status == outcome.message
        assert h.workflow("first").status == RUNNING


async def test_a_conflict_within_a_workflow_names_that_workflow(autojump_clock: MockClock) -> None:
    async with Harness() as h:
        outcome = await h.put(workflow("w", receive("*"), receive("*")))
        assert outcome.kind is OutcomeKind.FAILED
        assert "is taken by workflow 'w'" in outcome.message
        assert h.server.rtmp.is_quiet


async def test_publishers_watchers_applications_keys_and_ports_live_side_by_side(autojump_clock: MockClock) -> None:
    async with Harness(
        workflow("a", receive("x"), watch("x"), receive("y"), watch("y"))
        + workflow("b", receive("z"), receive("*", app="other"), watch("*", app="other"))
        + workflow("c", receive("*", "port=1936"), watch("*", "port=1936"))
    ) as h:
        assert h.network.open_ports == {1935, 1936}


async def test_a_workflow_in_error_can_have_what_it_wanted_once_it_is_free(autojump_clock: MockClock) -> None:
    async with Harness(workflow("first", receive("*"))) as h:
        await h.put(workflow("second", receive("key")))
        await h.stop("first")
        assert (await h.put(workflow("second", receive("key")))).kind is OutcomeKind.APPLIED
        await h.publish("key")


async def test_a_port_is_open_from_the_first_registration_to_the_last(autojump_clock: MockClock) -> None:
    network = CountingNetwork()
    async with Harness(workflow("a", receive("a"), watch("a")), network=network) as h:
        await h.put(workflow("b", receive("b")))
        await h.stop("a")
        await h.publish("b")
        assert network.history == ["open 1935 on all"]
        await h.stop("b")
        assert network.history == ["open 1935 on all", "close 1935"]
        with pytest.raises(ConnectionRefusedError):
            await h.open()
        await h.put(workflow("b", receive("b")))
        await h.publish("b")


async def test_a_change_of_all_steps_on_a_port_keeps_it_open(autojump_clock: MockClock) -> None:
    network = CountingNetwork()
    async with Harness(workflow("w", receive("a"), watch("a")), network=network) as h:
        for allowed in ("10.0.0.0/8", "127.0.0.1"):
            rules = f"allow_ips={allowed}"
            assert (await h.put(workflow("w", receive("a", rules), watch("a", rules)))).kind is OutcomeKind.APPLIED
        await h.publish("a")
        assert network.history == ["open 1935 on all"]
    assert network.history == ["open 1935 on all", "close 1935"]


async def test_the_port_of_a_change_that_is_given_up_is_closed_again(autojump_clock: MockClock) -> None:
    network = CountingNetwork(forbidden=frozenset({1999}))
    async with Harness(workflow("w", receive("a")), network=network) as h:
        steps = (receive("a"), receive("b", "port=1936"), receive("c", "port=1999"))
        outcome = await h.put(workflow("w", *steps), rollback=True)
        assert outcome.kind is OutcomeKind.ROLLED_BACK
        assert "port 1999 cannot be opened: permission denied" in outcome.message
        assert network.open_ports == {1935}
        await h.publish("a")


async def test_the_address_to_bind_is_the_settings(autojump_clock: MockClock) -> None:
    network = CountingNetwork()
    async with Harness("settings {\nrtmp_host ::1\n}\n" + workflow("w", receive("a")), network=network):
        assert network.history == ["open 1935 on ::1"]


async def test_port_zero_is_any_free_port_for_all_that_ask_for_it(autojump_clock: MockClock) -> None:
    async with Harness(workflow("w", receive("a", "port=0"), watch("a", "port=0"))) as h:
        port = h.server.rtmp.bound_port(0)
        assert h.network.open_ports == {port}
        assert port is not None
        await h.publish("a", port=port)
        await h.watch("a", port=port)


async def test_a_client_of_one_step_is_not_disturbed_by_the_end_of_another_on_its_port(
    autojump_clock: MockClock, logs: list[EventDict]
) -> None:
    recorder = Recorder()
    async with Harness(
        workflow("a", receive("a")) + workflow("b", receive("b"), "record"), [recorder.step_type()]
    ) as h:
        client = await h.publish("a")
        await client.unpublish()
        await client.publish("b")  # it uses nothing of the first step any more
        await h.stop("a")
        await client.send_metadata({"title": "still here"})
        await wait_all_tasks_blocked()
        assert len(recorder.events) == 2
        assert not [entry for entry in logs if entry["event"] == "connection closes"]
