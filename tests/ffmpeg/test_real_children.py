"""Real processes: what they inherit, and what becomes of those that misbehave."""

import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from signal import SIGKILL, SIGPIPE

import pytest
import trio

from mmids_trio.ffmpeg.process import ChildInput, ChildOutput, describe_exit, output_pipe
from mmids_trio.ffmpeg.spawning import (
    CANNOT_RUN,
    ChildLimits,
    SystemProcess,
    SystemSpawner,
    child_environment,
    guard,
)
from mmids_trio.ffmpeg.state import ChildPhase
from mmids_trio.ffmpeg.stderr_log import StderrLog
from mmids_trio.ffmpeg.stopping import KILL_AFTER_SECONDS, STOP_SECONDS
from mmids_trio.ffmpeg.supervisor import Supervisor
from tests.support.children import open_files

pytestmark = pytest.mark.e2e

LONGEST_WAIT = 20
"""Seconds; a test that waits longer has failed."""

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

IGNORES_ALL = """
import signal, sys, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
print("ready", flush=True)
while True:
    time.sleep(60)
"""
COPIES = """
import os
while data := os.read(0, 65536):
    os.write(1, data)
"""


@pytest.fixture(autouse=True)
def _limit(nursery: trio.Nursery) -> None:
    async def expire() -> None:
        await trio.sleep(LONGEST_WAIT)
        raise trio.TooSlowError

    nursery.start_soon(expire)


def python(script: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", script]


def processes() -> set[int]:
    """Ids of all that there are, zombies included."""
    return {int(entry) for entry in os.listdir("/proc") if entry.isdigit()}


async def run(arguments: list[str], spawner: SystemSpawner | None = None) -> tuple[int, str, str, int]:
    """Status, standard output, standard error and process id."""
    process = await (spawner or SystemSpawner()).spawn(arguments, stdin=False, stdout=True)
    try:
        assert process.stdout is not None
        stdout, stderr = await read_all(process.stdout), await read_all(process.stderr)
        return await process.wait(), stdout, stderr, process.pid
    finally:
        process.send_signal(SIGKILL)
        process.close()


async def read_all(output: ChildOutput) -> str:
    data = b""
    while more := await output.receive_some(4096):
        data += more
    return data.decode()


MakeSupervisor = Callable[..., Supervisor]


@pytest.fixture
def real(tmp_path: Path) -> MakeSupervisor:
    def make(arguments: list[str], name: str = "child", **hooks: object) -> Supervisor:
        log = StderrLog(tmp_path / f"{name}.log")
        return Supervisor(arguments=lambda: arguments, spawner=SystemSpawner(), stderr=log, random=lambda: 1.0, **hooks)  # type: ignore[arg-type]  # hooks of many kinds

    return make


class Signs:
    """Signs of life: counts what children write, and lets a test wait for it."""

    def __init__(self) -> None:
        self.send, self.receive = trio.open_memory_channel[bytes](100)

    async def read(self, stdout: ChildOutput) -> None:
        while data := await stdout.receive_some(4096):
            await self.send.send(data)


async def test_the_process_id_is_that_of_the_program_itself() -> None:
    status, stdout, _, pid = await run(python("import os; print(os.getpid(), os.getsid(0) == os.getpid())"))
    assert (status, stdout) == (0, f"{pid} True\n")


@linux
async def test_a_child_inherits_nothing_but_its_three_files() -> None:
    with open("/dev/null") as file:  # noqa: ASYNC230  # /dev/null never blocks
        os.set_inheritable(file.fileno(), True)
        _, stdout, _, _ = await run(python("import os; print(os.listdir('/proc/self/fd'))"))
    assert len(eval(stdout)) == 4  # the fourth is the folder that is listed


@linux
async def test_no_signal_is_ignored_or_blocked() -> None:
    _, stdout, _, _ = await run(["/bin/cat", "/proc/self/status"])
    masks = dict(line.split(":\t") for line in stdout.splitlines() if line.startswith("Sig"))
    assert int(masks["SigBlk"], 16) == 0
    assert int(masks["SigIgn"], 16) & (1 << (SIGPIPE - 1)) == 0


TELLS_LIMITS = """
import os, resource as r
print(*(r.getrlimit(w)[1] for w in (r.RLIMIT_DATA, r.RLIMIT_AS, r.RLIMIT_NOFILE, r.RLIMIT_CORE)), os.nice(0))
print(open("/proc/self/oom_score_adj").read().strip())
"""


@linux
async def test_a_child_has_limits_on_memory_files_and_priority() -> None:
    limits = ChildLimits(data_bytes=2**29, address_space_bytes=2**31, files=64, niceness=3, oom_score=700)
    _, stdout, _, _ = await run(python(TELLS_LIMITS), SystemSpawner(limits=limits))
    assert stdout.split() == [str(2**29), str(2**31), "64", "0", str(min(os.nice(0) + 3, 19)), "700"]


@linux
async def test_a_child_that_wants_more_memory_than_it_may_have_does_not_get_it() -> None:
    greedy = "held = bytearray(2**28); print('has it')"
    status, stdout, stderr, _ = await run(python(greedy), SystemSpawner(limits=ChildLimits(data_bytes=2**27)))
    assert (status, stdout) == (1, "")
    assert "MemoryError" in stderr
    assert (await run(python(greedy)))[:2] == (0, "has it\n")


@linux
async def test_where_the_server_may_have_less_its_children_have_no_more() -> None:
    own = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    _, stdout, _, _ = await run(python(TELLS_LIMITS), SystemSpawner(limits=ChildLimits(files=own * 2)))
    assert stdout.split()[2] == str(own)


async def test_a_child_gets_a_minimal_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"PATH": "/bin", "LC_ALL": "C", "API_TOKEN": "sesame", "FFREPORT": "file=x", "PYTHONPATH": "/x"}
    spawner = SystemSpawner(child_environment(environment))
    _, stdout, _, _ = await run(["/usr/bin/env"], spawner)
    names = {line.partition("=")[0] for line in stdout.splitlines()}
    assert {"PATH", "LC_ALL"} <= names <= {"PATH", "LC_ALL", "LC_CTYPE"}


async def test_arguments_arrive_as_they_are() -> None:
    hostile = ["-x", "a b", "$(id)", "'\"", "ä\n", "", "--"]
    _, stdout, _, _ = await run([*python("import sys; print(ascii(sys.argv[1:]))"), *hostile])
    assert stdout == f"{hostile!a}\n"


@linux
async def test_a_program_that_is_not_there_says_so() -> None:
    status, _, stderr, _ = await run(["/nowhere/ffmpeg", "-x"])
    assert (status, stderr) == (CANNOT_RUN, "cannot run /nowhere/ffmpeg: No such file or directory\n")


@pytest.mark.parametrize("argument", ["a\0b", "\ud800"])
async def test_an_impossible_argument_is_an_operating_system_error(argument: str) -> None:
    with pytest.raises(OSError, match="cannot be an argument"):
        await SystemSpawner().spawn(["/bin/true", argument], stdin=False, stdout=False)


@linux
async def test_a_child_whose_parent_is_gone_before_it_can_ask_ends_itself() -> None:
    *front, _own_id, limits = guard()
    command = [*front, "1", limits, "/bin/echo", "alive"]
    process = await trio.run_process(command, capture_stdout=True, check=False)
    assert (process.returncode, process.stdout) == (CANNOT_RUN, b"")


async def test_a_child_writes_to_as_many_outputs_as_it_was_given_and_their_ends_are_its_own() -> None:
    writes = "import sys; [open(int(name[5:]), 'w').write(name[:5] + str(at)) for at, name in enumerate(sys.argv[1:])]"
    arguments = [*python(writes), output_pipe(0), output_pipe(1)]
    process = await SystemSpawner().spawn(arguments, stdin=False, stdout=False, outputs=2)
    try:
        written = []
        for output in process.outputs:
            text = b""
            while data := await output.receive_some(100):
                text += data
            written.append(text)
        assert await process.wait() == 0
        assert written == [b"pipe:0", b"pipe:1"]
    finally:
        process.close()


async def test_a_child_that_cannot_be_started_leaves_no_pipe_open() -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match="cannot be an argument"):
        await SystemSpawner().spawn(["/bin/true", "\0"], stdin=False, stdout=False, outputs=3)
    assert os.listdir("/proc/self/fd") == before


async def test_a_full_pipe_takes_no_more_until_it_is_read() -> None:
    process = await SystemSpawner().spawn(python(COPIES), stdin=True, stdout=True)
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        sent = 0
        with trio.move_on_after(1):  # nobody reads what it copies, so it stops reading
            while True:
                sent += process.stdin.send_nowait(b"x" * 65536)
                await process.stdin.wait_writable()
        assert process.stdin.send_nowait(b"x" * 65536) == 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(process.stdin.wait_writable)
            received = 0
            while received < sent:
                received += len(await process.stdout.receive_some(1 << 20))
        process.stdin.close()
        assert await process.wait() == 0
    finally:
        process.send_signal(SIGKILL)
        process.close()


async def test_a_child_that_is_killed_is_started_again(real: MakeSupervisor) -> None:
    signs = Signs()
    watched = real(python(IGNORES_ALL), read=signs.read)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watched.run)
        assert await signs.receive.receive() == b"ready\n"
        first = watched.state.pid
        assert first is not None
        os.kill(first, SIGKILL)
        assert await signs.receive.receive() == b"ready\n"
        assert watched.state.pid != first
        assert (watched.state.phase, watched.state.restarts) == (ChildPhase.RUNNING, 1)
        assert watched.state.message == f"ffmpeg {describe_exit(-SIGKILL)}"
        nursery.cancel_scope.cancel()


async def test_one_that_ends_at_once_is_not_started_in_a_busy_loop(real: MakeSupervisor) -> None:
    watched = real(python("import sys; sys.exit('Unknown encoder')"))
    with trio.move_on_after(1):
        await watched.run()
    assert watched.state.starts == 2  # at 0 and 0.4 s; the next would be at 1.2 s
    assert watched.state.message == "ffmpeg exited with status 1\nUnknown encoder"


async def test_one_that_ignores_everything_is_gone_within_five_seconds(real: MakeSupervisor) -> None:
    signs = Signs()
    watched = real(python(IGNORES_ALL), read=signs.read)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watched.run)
        await signs.receive.receive()
        pid = watched.state.pid
        assert pid is not None
        cancelled_at = trio.current_time()
        nursery.cancel_scope.cancel()
    assert KILL_AFTER_SECONDS <= trio.current_time() - cancelled_at < STOP_SECONDS
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@linux
async def test_fifty_starts_and_stops_leave_nothing(real: MakeSupervisor) -> None:
    async def feed(stdin: ChildInput) -> None:
        await stdin.send_all(b"ready")
        await trio.sleep_forever()

    async def start_and_stop(number: int) -> None:
        signs = Signs()
        watched = real(python(COPIES), f"child{number}", feed=feed, read=signs.read)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watched.run)
            await signs.receive.receive()
            pids.append(watched.state.pid)
            nursery.cancel_scope.cancel()

    pids: list[int | None] = []
    before = open_files()
    for number in range(10):
        await start_and_stop(number)
    async with trio.open_nursery() as nursery:
        for number in range(10, 50):
            nursery.start_soon(start_and_stop, number)
    assert len(set(pids)) == 50
    assert open_files() == before
    assert not processes().intersection(pids)


async def test_waiting_may_be_cancelled_and_repeated() -> None:
    process: SystemProcess = await SystemSpawner().spawn(python(COPIES), stdin=True, stdout=False)
    try:
        assert process.stdin is not None
        with trio.move_on_after(0.05):
            await process.wait()
        assert process.poll() is None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(process.wait)
            nursery.start_soon(process.wait)
            process.stdin.close()
        assert await process.wait() == 0
        assert process.poll() == 0
        process.send_signal(SIGKILL)
    finally:
        process.close()
