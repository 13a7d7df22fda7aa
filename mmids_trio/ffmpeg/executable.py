"""Which ffmpeg is run: the one that the setting names, else the first on PATH, else the one that a package ships.

Apart from the steps because it is looked for once, at start, and told to the operator with its version.
"""

import importlib
import os
import re
import shutil
from collections.abc import Callable

import trio
from attrs import field, frozen

from mmids_trio.errors import StepError
from mmids_trio.ffmpeg.process import Process, Spawner, describe_exit
from mmids_trio.ffmpeg.stopping import Stop, StopBy
from mmids_trio.offload import Offload, in_thread

NAME = "ffmpeg"
VERSION_SECONDS = 10.0
"""For `ffmpeg -version`, which takes 50 ms; a cold disk or a network file system takes longer."""

VERSION_BYTES = 64 * 1024
"""Bytes of its answer that are read; it is some 2,000 long."""

_VERSION = re.compile(r"^ffmpeg version (\S+)", re.MULTILINE)
_SHIPPED_BY = "imageio-ffmpeg"

INSTALL = "to install one: apt-get install ffmpeg, or pip install 'mmids_trio[ffmpeg]'"
"""What helps where there is none."""

Shipped = Callable[[], str | None]
"""The path of an ffmpeg that some Python package ships, `None` without one. May block."""


@frozen
class Executable:
    """An ffmpeg that has been seen to run."""

    path: str
    version: str
    origin: str
    """Why this one: "the setting ffmpeg_path", "PATH", "the package imageio-ffmpeg"."""


def shipped_with_imageio() -> str | None:
    """The binary in the package imageio-ffmpeg, which is optional; importing it is left until it is needed."""
    try:
        path = str(importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe())
    except (ImportError, RuntimeError, OSError):  # not installed, or without a binary for this platform
        return None
    return path if os.path.isabs(path) else None  # else it only has seen one on PATH


@frozen
class Places:
    """Where to look."""

    setting: str | None
    """The setting `ffmpeg_path`; with it, nothing else is looked at."""
    search_path: str = field(factory=lambda: os.environ.get("PATH", os.defpath))
    shipped: Shipped = shipped_with_imageio


def parse_version(output: str) -> str | None:
    """The version in what `ffmpeg -version` prints, such as `7.1` or `N-118193-g5f38c82536`."""
    match = _VERSION.search(output)
    return match[1] if match else None


async def find_ffmpeg(places: Places, spawner: Spawner, offload: Offload = in_thread) -> Executable:
    """The ffmpeg to use, checked by asking it for its version.

    Raises `StepError`, which says what was looked for and where.
    """
    path, origin = await _locate(places, offload)
    return Executable(path, await _read_version(path, origin, spawner), origin)


async def _locate(places: Places, offload: Offload) -> tuple[str, str]:
    if places.setting is not None:
        await trio.lowlevel.checkpoint()
        return _check_setting(places.setting), "the setting ffmpeg_path"
    on_path = _on_path(places.search_path)
    if on_path is not None:
        await trio.lowlevel.checkpoint()
        return on_path, "PATH"
    shipped = await offload(places.shipped)
    if shipped is not None:
        return shipped, f"the package {_SHIPPED_BY}"
    raise StepError(
        f"no ffmpeg found: the setting ffmpeg_path is not set, there is no executable {NAME!r} on PATH "
        f"({places.search_path or 'empty'}), and the Python package {_SHIPPED_BY} is not installed or ships none here; "
        f"{INSTALL}"
    )


def _on_path(search_path: str) -> str | None:
    found = shutil.which(NAME, path=search_path)
    return None if found is None else os.path.abspath(found)


def _check_setting(setting: str) -> str:
    path = os.path.abspath(os.path.expanduser(setting))
    if not os.path.exists(path):
        raise StepError(f"no ffmpeg found: the setting ffmpeg_path names {path}, which does not exist")
    if not os.path.isfile(path) or not os.access(path, os.X_OK):
        raise StepError(f"no ffmpeg found: the setting ffmpeg_path names {path}, which is not an executable file")
    return path


async def _read_version(path: str, origin: str, spawner: Spawner) -> str:
    what = f"{path} (from {origin})"
    try:
        process = await spawner.spawn([path, "-version"], stdin=False, stdout=True)
    except OSError as error:
        raise StepError(f"cannot run {what}: {error.strerror or error}") from error
    try:
        with trio.move_on_after(VERSION_SECONDS):
            output = await _output(process)
            status = await process.wait()
            version = parse_version(output)
            if status != 0:
                raise StepError(f"{what} is not a working ffmpeg: with -version it {describe_exit(status)}")
            if version is None:
                raise StepError(f"{what} is not a working ffmpeg: its answer to -version names no version")
            return version
        raise StepError(f"{what} is not a working ffmpeg: no answer to -version within {VERSION_SECONDS:.0f} s")
    finally:
        await _end(process)


async def _output(process: Process) -> str:
    """What the process prints. Its errors stay in their pipe: with -version there are none to speak of."""
    assert process.stdout is not None
    data = b""
    while len(data) < VERSION_BYTES and (more := await process.stdout.receive_some(VERSION_BYTES)):
        data += more
    return data.decode("utf-8", "replace")


async def _end(process: Process) -> None:
    await Stop(process, StopBy.INTERRUPT).wait()
    process.close()
