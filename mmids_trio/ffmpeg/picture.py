"""A picture of a stream, made by one child: from a key frame to a JPEG. Bounded in time and in bytes."""

from contextlib import suppress

import trio

from mmids_trio.errors import StepError
from mmids_trio.ffmpeg.locations import PICTURE_LIMIT
from mmids_trio.ffmpeg.process import Process, describe_exit
from mmids_trio.ffmpeg.stopping import Stop, StopBy
from mmids_trio.ffmpeg.tools import FfmpegTools

PICTURE_SECONDS = 10.0
"""For all of it, a place among the children of the server included; a decoder needs 0.1 s."""

WIDEST = 640
"""Pixels of a picture's width."""

MAX_PICTURE_BYTES = 256 * 1024
"""Of a JPEG; some 40 KiB are usual."""

_ARGUMENTS = (
    *("-hide_banner", "-nostats", "-loglevel", "fatal", "-protocol_whitelist", "pipe", *PICTURE_LIMIT),
    *("-threads", "1", "-f", "mp4", "-i", "pipe:0", "-map", "0:V:0", "-frames:v", "1"),
    *("-vf", f"scale='min(iw,{WIDEST})':-2", "-c:v", "mjpeg", "-q:v", "5", "-pix_fmt", "yuvj420p", "-threads", "1"),
    *("-f", "image2pipe", "pipe:1"),
)


async def jpeg_of(tools: FfmpegTools, still: bytes) -> bytes:
    """The JPEG of `still` (fragmented MP4). Raises `StepError` with the reason where there is none."""
    executable = await tools.check()
    with trio.move_on_after(PICTURE_SECONDS):
        with tools.capacity.place() as claim:
            await claim.admitted.wait()
            try:
                process = await tools.spawner.spawn([executable.path, *_ARGUMENTS], stdin=True, stdout=True)
            except OSError as error:
                raise StepError(f"cannot be started: {error.strerror or error}") from error
            try:
                return await _convert(process, still)
            finally:
                await Stop(process, StopBy.INTERRUPT).wait()
                process.close()
    raise StepError(f"there is none after {PICTURE_SECONDS:.0f} s")


async def _convert(process: Process, still: bytes) -> bytes:
    picture = bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_feed, process, still)
        assert process.stdout is not None
        while data := await process.stdout.receive_some(MAX_PICTURE_BYTES):
            picture += data
            if len(picture) > MAX_PICTURE_BYTES:
                raise StepError(f"it is larger than {MAX_PICTURE_BYTES} bytes")
        status = await process.wait()
        nursery.cancel_scope.cancel()
    if not picture:
        raise StepError(f"ffmpeg {describe_exit(status)}")
    return bytes(picture)


async def _feed(process: Process, still: bytes) -> None:
    assert process.stdin is not None
    with suppress(trio.BrokenResourceError):  # it says by its end what it has against it
        await process.stdin.send_all(still)
    process.stdin.close()
