"""`ffmpeg_transcode` on a real server: what comes out is what was asked for, in time, and watchers stay for it."""

import json
import re
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import frozen

from tests.support.children import ffmpegs_of
from tests.support.encoder import encoder, tags_of
from tests.support.ffmpeg import AUDIO, GOP_FRAMES, VIDEO, Crew, Player, Recording, place_of
from tests.support.ffmpeg_runs import executables
from tests.support.program import Launch, Program
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

RECEIVE = "rtmp_receive rtmp_app=live stream_key=* port=0"
WATCH = "rtmp_watch rtmp_app=live stream_key=* port=0"
NEW_WATCH = "rtmp_watch rtmp_app=new stream_key=* port=0"
LAST_WATCH = "rtmp_watch rtmp_app=last stream_key=* port=0"
SMALLER = "ffmpeg_transcode vcodec=h264 acodec=copy h264_preset=ultrafast size=80x46"
SECONDS = 60
BLINK_SECONDS = 5
MAX_OFFSET = 0.05
ENCODER_HOLDS_SECONDS = 5.5
"""At the end of a stream that stays: the segment that is being written, and what x264 looks at ahead."""


def workflow(*steps: str) -> str:
    """The workflow `live` of these steps."""
    return "\n    ".join(["workflow live {", RECEIVE, *steps]) + "\n}\n"


def run(*command: object) -> subprocess.CompletedProcess[bytes]:
    """A tool, to its end."""
    return subprocess.run([*map(str, command)], check=True, capture_output=True, timeout=60)


def tracks(playlist: Path) -> dict[str, Any]:
    """What ffprobe says of video and audio."""
    found = json.loads(run("ffprobe", "-v", "error", "-of", "json", "-show_streams", playlist).stdout)["streams"]
    return {track["codec_type"]: track for track in found}


def listed_seconds(playlist: Path) -> float:
    """What the segments of a playlist last together."""
    text = playlist.read_text() if playlist.exists() else ""
    return sum(float(seconds) for seconds in re.findall(r"#EXTINF:([0-9.]+)", text))


async def transcoded(launch: Launch, source: Path, out: Path, step: str, *, seconds: float) -> Path:
    """The playlist of what a step makes of the beginning of a FLV file, published faster than real time.

    The publisher stays until most of it is there: from its end on, an encoder on a busy machine has 5 seconds.
    """
    playlist = out / "show.m3u8"
    program = await launch(workflow(step, f'ffmpeg_hls path="{out}" count=0'))
    async with encoder(program.rtmp_port) as client:
        assert await client.publish("show") is None
        await client.send(tags_of(source, before=seconds))
        await eventually(lambda: listed_seconds(playlist) >= seconds - ENCODER_HOLDS_SECONDS, "most of the segments")
    await eventually(lambda: playlist.exists() and "#EXT-X-ENDLIST\n" in playlist.read_text(), "end of the playlist")
    assert program.count_logged("child ended") == 0
    return playlist


def kbps(playlist: Path, seconds: float) -> float:
    """Of the video."""
    entries = ("-select_streams", "v", "-show_entries", "packet=size", "-of", "csv=p=0")
    sizes = run("ffprobe", "-v", "error", *entries, playlist).stdout.split()
    return 8 * sum(int(size.strip(b",")) for size in sizes) / seconds / 1000


def encoder_options(playlist: Path) -> str:
    """What x264 says of itself in its first frame."""
    raw = run("ffmpeg", "-v", "error", "-i", playlist, "-map", "0:v", "-c", "copy", "-f", "h264", "-").stdout
    found = re.search(rb"x264 - core .*? options: ([^\0]*)\0", raw)
    assert found is not None
    return found[1].decode()


@frozen
class Wish:
    """What is asked for; `subme` is what x264 makes of the preset."""

    preset: str
    width: int
    height: int
    kbps: int
    subme: int


WISHES = [Wish("ultrafast", 80, 46, 200, 0), Wish("veryfast", 320, 180, 500, 2), Wish("medium", 160, 90, 300, 7)]


@pytest.mark.parametrize("wish", WISHES, ids=lambda wish: wish.preset)
async def test_size_codec_preset_and_bitrate_are_as_asked(
    launch: Launch, show: Recording, tmp_path: Path, wish: Wish
) -> None:
    encoding = f"h264_preset={wish.preset} size={wish.width}x{wish.height} kbps={wish.kbps}"
    step = f"ffmpeg_transcode vcodec=h264 acodec=aac {encoding}"
    playlist = await transcoded(launch, show.path, tmp_path / "out", step, seconds=10)
    video, audio = tracks(playlist)["video"], tracks(playlist)["audio"]
    assert (video["codec_name"], video["width"], video["height"]) == ("h264", wish.width, wish.height)
    assert audio["codec_name"] == "aac"
    assert kbps(playlist, 10) == pytest.approx(wish.kbps, rel=0.15)
    assert f" subme={wish.subme} " in encoder_options(playlist)


@pytest.mark.parametrize("acodec", ["copy", "aac"])
async def test_audio_is_copied_or_encoded(launch: Launch, show: Recording, tmp_path: Path, acodec: str) -> None:
    step = f"ffmpeg_transcode vcodec=copy acodec={acodec}"
    playlist = await transcoded(launch, show.path, tmp_path / "out", step, seconds=6)
    back = tmp_path / "back.flv"
    run("ffmpeg", "-v", "error", "-i", playlist, "-c", "copy", back)
    assert {kind: track["codec_name"] for kind, track in tracks(back).items()} == {"video": "h264", "audio": "aac"}
    hashes = run(
        *("ffprobe", "-v", "error", "-select_streams", "a", "-show_packets", "-show_data_hash", "md5"),
        *("-show_entries", "packet=data_hash", "-of", "csv=p=0", back),
    ).stdout.decode()
    received = [line.strip(",").removeprefix("MD5:") for line in hashes.split()]
    if acodec == "copy":
        assert place_of(received, show.packets.audio) <= 1
    else:
        assert not set(received) & set(show.packets.audio)
    assert len(received) * 1024 / 44_100 == pytest.approx(6, abs=0.1)


@pytest.fixture(scope="module")
def blinking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute in which a flash and a beep come together every few seconds."""
    path = tmp_path_factory.mktemp("media") / "blinking.flv"
    now = f"lt(mod(t,{BLINK_SECONDS}),0.2)*gte(t,1)"
    run(
        *("ffmpeg", "-v", "error"),
        *("-f", "lavfi", "-i", f"color=black:s=160x90:r=30,drawbox=color=white:t=fill:enable='{now}'"),
        *("-f", "lavfi", "-i", f"aevalsrc='0.8*sin(2*PI*1000*t)*{now}':s=44100"),
        *("-t", SECONDS + 1, "-c:v", "libx264", "-preset", "veryfast", "-g", 30, "-pix_fmt", "yuv420p"),
        *("-c:a", "aac", path),
    )
    return path


def onsets(media: Path) -> tuple[list[float], list[float]]:
    """When flashes and beeps begin, in seconds."""
    filters = ("-vf", "blackdetect=d=0.5:pix_th=0.3", "-af", "silencedetect=n=-25dB:d=0.5")
    said = run("ffmpeg", "-nostdin", "-copyts", "-i", media, *filters, "-f", "null", "-").stderr.decode()
    flashes, beeps = (
        [float(time) for time in re.findall(rf"{word}: ?([0-9.]+)", said)] for word in ("black_end", "silence_end")
    )
    return flashes, beeps


@pytest.mark.parametrize("acodec", ["copy", "aac"])
async def test_sound_and_picture_are_together_after_a_minute(
    launch: Launch, blinking: Path, tmp_path: Path, acodec: str
) -> None:
    step = f"ffmpeg_transcode vcodec=h264 acodec={acodec} h264_preset=ultrafast"
    playlist = await transcoded(launch, blinking, tmp_path / "out", step, seconds=SECONDS + 1)
    count = SECONDS // BLINK_SECONDS
    flashes, beeps = (times[:count] for times in onsets(playlist))
    assert (len(flashes), len(beeps)) == (count, count)
    assert flashes[-1] - flashes[0] == pytest.approx(SECONDS - BLINK_SECONDS, abs=MAX_OFFSET)
    offsets = [beep - flash for beep, flash in zip(beeps, flashes, strict=True)]
    assert max(map(abs, offsets)) < MAX_OFFSET, offsets
    assert max(offsets) - min(offsets) < MAX_OFFSET / 2, "they drift apart"


def never_goes_back(player: Player) -> bool:
    """Whether the timestamps of each kind only grow."""
    return all(before <= after for kind in (VIDEO, AUDIO) for before, after in pairwise(player.times(kind)))


async def sees(program: Program, crew: Crew, app: str, ffmpeg: str = "ffmpeg") -> tuple[int, int]:
    """Width and height of what a new watcher decodes, to whom nothing looks wrong."""
    decoder = await crew.decode(program.url(app=app), GOP_FRAMES, ffmpeg)
    assert (await decoder.end(), decoder.err.text) == (0, "")
    command = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "stream=width,height", "-of", "json"]
    probed = await trio.run_process([*command, program.url(app=app)], capture_stdout=True)
    [track] = json.loads(probed.stdout)["streams"]
    return track["width"], track["height"]


@pytest.mark.parametrize("ffmpeg", executables(), ids=["installed", "bundled"])
async def test_a_transcode_put_before_a_watch_step_and_taken_out_again_keeps_watchers_and_serves_new_ones(
    launch: Launch, crew: Crew, show: Recording, ffmpeg: str
) -> None:
    program = await launch(workflow(WATCH), settings=f'ffmpeg_path "{ffmpeg}"')
    await crew.publish(show, program.url())
    await program.logged("publisher joined")
    kept = await crew.play(program.url())
    await kept.gets(GOP_FRAMES)

    assert (await program.put(workflow(SMALLER, WATCH, NEW_WATCH))).status == 200
    assert await sees(program, crew, "new", ffmpeg) == (80, 46)
    assert await sees(program, crew, "live", ffmpeg) == (80, 46)
    newcomer = await crew.play(program.url(app="new"))
    await newcomer.gets(GOP_FRAMES)
    await kept.gets_more()
    assert not set(kept.packets.video[-GOP_FRAMES // 2 :]) & set(show.packets.video)
    place_of(newcomer.packets.audio, show.packets.audio)

    assert (await program.put(workflow(WATCH, NEW_WATCH, LAST_WATCH))).status == 200
    assert ffmpegs_of(program.child.process.pid) == []
    assert await sees(program, crew, "last", ffmpeg) == (160, 90)
    last = await crew.play(program.url(app="last"))
    await last.gets(GOP_FRAMES)
    place_of(last.packets.video, show.packets.video)
    for player in (kept, newcomer):
        await player.gets_more()
        place_of(player.packets.video[-GOP_FRAMES // 2 :], show.packets.video)
    assert never_goes_back(kept)
    assert never_goes_back(newcomer)
    assert kept.child.is_running
    assert newcomer.child.is_running
    assert program.count_logged("publisher left|child ended") == 0
