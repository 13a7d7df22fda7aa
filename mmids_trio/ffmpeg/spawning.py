"""Real children, which end with this process even if it is killed with SIGKILL.

On Linux the kernel does that (`prctl(2)`, PR_SET_PDEATHSIG). It has to be asked from within the child, and
`preexec_fn` is not safe beside threads, so a short Python program does it and then becomes the program that was
asked for: same process, same id, 8 ms of the child's time where ffmpeg takes 46 ms to start.  The kernel sends the
signal when the *thread* that started the child ends, so children are started from the thread of the event
loop, which blocks it for 0.2 ms each (vfork), and never from trio's worker threads.  Elsewhere children see the end
of their pipes, which is what ends ffmpeg there.

The same program sets the child's limits (`ChildLimits`): media of strangers must not take the memory, the processor
or the descriptors that the server lives on.
"""

import errno
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from io import FileIO

import trio
from attrs import astuple, define, field, frozen

from mmids_trio.config.settings import is_loopback
from mmids_trio.ffmpeg.pipes import InputPipe, OutputPipe
from mmids_trio.ffmpeg.process import output_pipe

CANNOT_RUN = 127
"""Exit status when the program cannot be run, as shells have it; standard error says why."""

PASSED_VARIABLES = frozenset(
    {
        *("PATH", "HOME", "TMPDIR", "TZ", "LANG", "LANGUAGE", "LD_LIBRARY_PATH"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("FONTCONFIG_FILE", "FONTCONFIG_PATH"),
        *("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "LIBVA_DRIVER_NAME", "LIBVA_DRIVERS_PATH"),
    }
)
"""Variables that a child gets, beside `LC_*`. Tokens of the server are none of its business, and
`FFREPORT` would make ffmpeg write files of its own, with its whole command line. Which proxy there is, a setting says:
that of the shell that the server happens to be started from would be asked for sources on this very machine."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")

_HOST = re.compile(r"://(?:[^/?#]*@)?(?:\[([^\]/]*)\]|([^/:?#]*))")

MAX_DATA_BYTES = 8 * 1024**3
"""What a child may have in memory of its own: x264's `medium` takes 1.6 GiB for 4K, 6.5 for 8K (on two cores)."""

MAX_ADDRESS_SPACE_BYTES = 32 * 1024**3
"""Of addresses: the C library sets 64 MiB aside for each of many threads, which costs nothing until it is used."""

MAX_FILES = 256
"""Descriptors: three, those of a playlist's files, and those of connections to elsewhere."""

NICENESS = 5
"""Below the server, so that what strangers have encoded does not delay everybody's media."""

OOM_SCORE = 500
"""Where memory ends, the kernel takes a child before it takes the server."""

# Interpreters ignore SIGPIPE, and what is ignored stays so in the program that they become. Parents can be gone
# before the kernel is asked: then the child has got another one, and ends itself.
_GUARD = f"""
import ctypes, os, resource, sys, _signal
ctypes.CDLL(None).prctl(1, {int(signal.SIGKILL)}, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    os._exit({CANNOT_RUN})
data, addresses, files, niceness, oom_score = map(int, sys.argv[2].split(","))
for what, most in (
    (resource.RLIMIT_DATA, data), (resource.RLIMIT_AS, addresses),
    (resource.RLIMIT_NOFILE, files), (resource.RLIMIT_CORE, 0),
):
    hard = resource.getrlimit(what)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))
os.nice(niceness)
try:
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write(str(oom_score))
except OSError:
    pass
for number in (_signal.SIGPIPE, _signal.SIGXFSZ, _signal.SIGINT, _signal.SIGTERM):
    _signal.signal(number, _signal.SIG_DFL)
_signal.pthread_sigmask(_signal.SIG_SETMASK, [])
try:
    os.execv(sys.argv[3], sys.argv[3:])
except OSError as error:
    os.write(2, f"cannot run {{sys.argv[3]}}: {{error.strerror}}\\n".encode("utf-8", "backslashreplace"))
    os._exit({CANNOT_RUN})
"""


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of `environment` that is passed to children."""
    return {name: value for name, value in environment.items() if name in PASSED_VARIABLES or name.startswith("LC_")}


def proxy_variables(proxy: str | None, arguments: Iterable[str]) -> dict[str, str]:
    """What has ffmpeg go by `proxy` (a URL), but for the loopback hosts that the URLs among its arguments name.

    It knows no networks in `no_proxy`, so that 127.8.0.1 has to be there by itself.
    """
    if proxy is None:
        return {}
    hosts = (match[1] or match[2] for argument in arguments for match in _HOST.finditer(argument))
    direct = dict.fromkeys((*LOOPBACK, *filter(is_loopback, hosts)))
    return {"http_proxy": proxy, "no_proxy": ",".join(direct)}


@frozen
class ChildLimits:
    """What the kernel lets one child have; where the server itself may have less, so may its children."""

    data_bytes: int = MAX_DATA_BYTES
    address_space_bytes: int = MAX_ADDRESS_SPACE_BYTES
    files: int = MAX_FILES
    niceness: int = NICENESS
    """Added to the server's."""
    oom_score: int = OOM_SCORE
    """From -1000 (never) to 1000 (first)."""


USUAL_LIMITS = ChildLimits()


def guard(limits: ChildLimits = USUAL_LIMITS) -> tuple[str, ...]:
    """What to put before a command so that it ends with this process and keeps to `limits`; empty where the system
    cannot do that."""
    if sys.platform != "linux" or not sys.executable:
        return ()
    return (sys.executable, "-I", "-S", "-c", _GUARD, str(os.getpid()), ",".join(map(str, astuple(limits))))


@define(eq=False)
class SystemProcess:
    """A `Process` that is one."""

    stdin: InputPipe | None
    stdout: OutputPipe | None
    stderr: OutputPipe
    outputs: Sequence[OutputPipe]
    _popen: subprocess.Popen[bytes]
    _pidfd: int | None
    _waiting: trio.Lock = field(factory=trio.Lock, init=False)

    @property
    def pid(self) -> int:
        """See `Process`."""
        return self._popen.pid

    async def wait(self) -> int:
        """See `Process`."""
        async with self._waiting:
            if self._popen.poll() is None:
                await self._wait_for_end()
        return self._popen.wait()

    def poll(self) -> int | None:
        """See `Process`."""
        return self._popen.poll()

    def send_signal(self, signal_number: signal.Signals) -> None:
        """See `Process`. A child that has ended is reaped here, so no other process can get the signal."""
        self._popen.send_signal(signal_number)

    def close(self) -> None:
        """See `Process`."""
        for pipe in (self.stdin, self.stdout, self.stderr, *self.outputs):
            if pipe is not None:
                pipe.close()
        if self._pidfd is not None:
            trio.lowlevel.notify_closing(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None

    async def _wait_for_end(self) -> None:
        if self._pidfd is not None:
            await trio.lowlevel.wait_readable(self._pidfd)
        else:
            await trio.to_thread.run_sync(self._popen.wait, abandon_on_cancel=True)


@define
class SystemSpawner:
    """The `Spawner` of a server. Use it in the thread of the event loop, and end that thread last."""

    environment: Mapping[str, str] = field(factory=lambda: child_environment(os.environ))
    proxy: str | None = None
    """The URL of the one that children go by to web servers elsewhere."""
    limits: ChildLimits = USUAL_LIMITS

    async def spawn(self, arguments: Sequence[str], *, stdin: bool, stdout: bool, outputs: int = 0) -> SystemProcess:
        """See `Spawner`. Raises `OSError`; a program that cannot be run is told by status 127 instead, on Linux.

        The child gets a session of its own, so that Ctrl-C on the server's terminal does not reach it, no file
        descriptors but its three and `outputs`, and the environment above.
        """
        await trio.lowlevel.checkpoint()  # nothing may be awaited once the child is there
        with ExitStack() as undo:
            pipes = [_open_pipe(undo) for _ in range(outputs)]
            names = {output_pipe(index): f"pipe:{writing}" for index, (_, writing) in enumerate(pipes)}
            command = [*guard(self.limits), *(names.get(argument, argument) for argument in arguments)]
            popen = self._start(command, [writing for _, writing in pipes], stdin=stdin, stdout=stdout)
            undo.pop_all()
        for _, writing in pipes:
            os.close(writing)
        assert popen.stderr is not None  # a pipe was asked for
        return SystemProcess(
            stdin=None if popen.stdin is None else InputPipe(popen.stdin),
            stdout=None if popen.stdout is None else OutputPipe(popen.stdout),
            stderr=OutputPipe(popen.stderr),
            outputs=[OutputPipe(FileIO(reading)) for reading, _ in pipes],
            popen=popen,
            pidfd=_open_pidfd(popen.pid),
        )

    def _start(
        self, command: Sequence[str], passed: Sequence[int], *, stdin: bool, stdout: bool
    ) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                command,
                bufsize=0,
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE if stdout else subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={**self.environment, **proxy_variables(self.proxy, command)},
                start_new_session=True,
                pass_fds=passed,
            )
        except ValueError as error:  # a NUL, or a lone surrogate
            raise OSError(errno.EINVAL, f"cannot be an argument: {error}") from error


def _open_pipe(undo: ExitStack) -> tuple[int, int]:
    """Its reading and its writing end; `undo` closes them."""
    reading, writing = os.pipe()
    undo.callback(os.close, reading)
    undo.callback(os.close, writing)
    return reading, writing


def _open_pidfd(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends; `None` where there is none to be had."""
    if sys.platform != "linux":
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:  # kernels before 5.3, some sandboxes, no descriptor left: a thread waits instead
        return None
