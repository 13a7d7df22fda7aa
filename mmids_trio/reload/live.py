"""How each setting changes that a reload can change while the server runs; which these are: `config.live_settings`."""

from collections.abc import Callable, Mapping
from functools import partial

import trio

from mmids_trio.config.settings import Settings
from mmids_trio.ffmpeg.executable import Places
from mmids_trio.ffmpeg.tools import FfmpegTools
from mmids_trio.reload.reloader import Prepare
from mmids_trio.rtmp.server.server import RtmpServer
from mmids_trio.workflow.manager import WorkflowManager


def live_settings(rtmp: RtmpServer, ffmpeg: FfmpegTools, workflows: WorkflowManager) -> Mapping[str, Prepare]:
    """By name: what checks a new value, and returns what puts it in place."""

    async def ffmpeg_path(wanted: Settings) -> Callable[[], None]:
        places = Places(wanted.ffmpeg_path)
        return partial(ffmpeg.use, places, await ffmpeg.look_in(places))

    async def publisher_timeout(wanted: Settings) -> Callable[[], None]:
        await trio.lowlevel.checkpoint()
        return partial(setattr, rtmp, "publisher_timeout", wanted.publisher_patience)

    async def changes_in_place(wanted: Settings) -> Callable[[], None]:
        await trio.lowlevel.checkpoint()
        return partial(setattr, workflows, "changes_in_place", wanted.changes_in_place)

    async def looked_up(_wanted: Settings) -> Callable[[], None]:
        """Of a setting whose current value is asked for whenever it is needed."""
        await trio.lowlevel.checkpoint()
        return lambda: None

    return {
        "changes_in_place": changes_in_place,
        "ffmpeg_path": ffmpeg_path,
        "http_api_token": looked_up,
        "publisher_timeout": publisher_timeout,
        "reload_max_disconnects": looked_up,
    }
