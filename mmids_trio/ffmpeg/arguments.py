"""What ffmpeg is told, for each kind of step: argument lists without the executable.

Pure.  Every value of an operator or publisher is one argument of its own and can be taken neither for an option nor
for part of one; there is no shell.  Children that are fed read FLV from their standard input, and children that
are read write it to their standard output.
"""

from collections.abc import Collection, Iterator

from attrs import frozen

from mmids_trio.ffmpeg.file_names import file_stem, playlist_name, segment_prefix
from mmids_trio.ffmpeg.locations import (
    FLV_OPTIONS,
    PICTURE_LIMIT,
    output_directory,
    plain_path,
    source_arguments,
    target_arguments,
)
from mmids_trio.ffmpeg.parameters import HlsParameters, PullParameters, PushParameters, TranscodeParameters

FMP4_CODECS = frozenset(("hvc1", "vvc1", "av01", "vp08", "vp09", "Opus", "fLaC"))
"""Codecs (as `MediaPacket.codec` names them) that players of HLS expect in fragmented MP4, not in MPEG-TS."""

ONLY_IN_FLV = {
    "lpcm": "PCM sound",
    "swfa": "ADPCM sound",
    "nmos": "Nellymoser sound",
    "alaw": "G.711 A-law sound",
    "ulaw": "G.711 mu-law sound",
    "spex": "Speex sound",
    "flv1": "Sorenson H.263 video",
    "fsv1": "screen video",
    "fsv2": "screen video",
    "vp6f": "VP6 video",
    "vp6a": "VP6 video",
}
"""Codecs that RTMP brings and neither MPEG-TS nor players of HLS know, as `MediaPacket.codec` names them."""

KEY_FRAME_SECONDS = 2
"""Longest group of pictures of an encoder: how long a watcher waits at most, and the default length of a segment."""

COMMON = ("-hide_banner", "-nostats", "-loglevel", "level+warning")
_NO_INPUT = ("-nostdin",)
"""Else ffmpeg listens to its standard input for commands; not needed where that is its media."""

FROM_PIPE = ("-protocol_whitelist", "pipe", *PICTURE_LIMIT, "-fpsprobesize", "0", "-f", "flv", "-i", "pipe:0")
"""Without waiting for 20 pictures to guess a frame rate from: 0.1 s to the first output instead of 1.6 (measured)."""

TO_PIPE = (*FLV_OPTIONS, "-flush_packets", "1", "-f", "flv")
"""Flushed, since ffmpeg would otherwise keep packets back until it has 32 KiB of them: seconds of an audio stream."""

TRACKS = ("-map", "0:V:0?", "-map", "0:a:0?")
"""The first video that is not a cover picture, and the first audio, as far as there are such."""

_COPY = ("-c", "copy")

_SEGMENTS_SAID = "2"
"""How many segments each playlist of a child names: the new one, and one that was named before."""

EXACT_TIMES = ("-enc_time_base:v", "1:1000")
"""Timestamps of pictures stay as they came, in milliseconds. Else they are moved by up to half a picture, to the clock
of a frame rate that ffmpeg has guessed, and pictures that meet there are dropped."""

FILLED_GAPS = "aresample=async=1000"
"""Silence where frames were lost, else the sound of all that follows would come early."""


def pull_arguments(parameters: PullParameters) -> list[str]:
    """Read a file in real time, over and over if it is to be repeated, or a URL; write FLV to standard output.

    Raises `ValueError` for a location that `source_location` refuses.
    """
    source = source_arguments(parameters.location, repeats=parameters.loop is True)
    return [*COMMON, *_NO_INPUT, *source, *TRACKS, *_COPY, *TO_PIPE, "pipe:1"]


def push_arguments(parameters: PushParameters) -> list[str]:
    """Write what comes on standard input to a URL. Raises `ValueError` for one that `push_target` refuses."""
    return [*COMMON, *FROM_PIPE, *TRACKS, *_COPY, *target_arguments(parameters.target)]


@frozen
class HlsChild:
    """What one of the children that write segments for a playlist is told: its part of them."""

    first_number: int = 0
    """Of its segments."""
    init: str | None = None
    """File name of its init segment: with it, segments are fragmented MP4, else MPEG-TS."""
    has_hevc: bool = False


def hls_arguments(parameters: HlsParameters, stream_name: str, child: HlsChild) -> list[str]:
    """Write what comes on standard input as segments of HLS, and to standard output what there is to say of each.

    The directory has to exist.  The output is a short playlist, again for each segment that is whole.
    """
    directory, stem = _directory(parameters), file_stem(parameters.stream_name or stream_name)
    extension = "ts" if child.init is None else "m4s"
    return [
        *(*COMMON, *FROM_PIPE, *TRACKS, *_COPY),
        *(() if child.init is None else _fmp4(f"{directory}/{child.init}", has_hevc=child.has_hevc)),
        *("-f", "hls", "-hls_time", str(parameters.duration_s)),
        # Segments begin with key frames, as they are only cut there.
        *("-hls_list_size", _SEGMENTS_SAID, "-hls_flags", "independent_segments"),
        *("-start_number", str(child.first_number)),
        *("-hls_segment_filename", f"{directory}/{segment_prefix(stem)}%d.{extension}"),
        "pipe:1",
    ]


def what_is_lost(codecs: Collection[str], container: str) -> str | None:
    """Which tracks players will not find in HLS or MPEG-TS, as a warning; `None` where they find all."""
    lost = " and ".join(sorted(ONLY_IN_FLV[codec] for codec in codecs if codec in ONLY_IN_FLV))
    return (
        f"{container} cannot carry {lost}: it is missing there; encode it in front (ffmpeg_transcode)" if lost else None
    )


def hls_playlist_path(parameters: HlsParameters, stream_name: str) -> str:
    """Where the playlist of a stream is; always directly within `parameters.path`."""
    return f"{_directory(parameters)}/{playlist_name(parameters.stream_name or stream_name)}"


def transcode_arguments(parameters: TranscodeParameters, largest: tuple[int, int] | None = None) -> list[str]:
    """Turn the FLV on standard input into FLV on standard output.

    `largest` is the size (pixels) that encoded pictures have at most, whatever the media say of themselves later.
    """
    return [*COMMON, *FROM_PIPE, *TRACKS, *_video(parameters, largest), *_audio(parameters), *TO_PIPE, "pipe:1"]


def _directory(parameters: HlsParameters) -> str:
    return plain_path(output_directory(parameters.path)).rstrip("/")


def needs_fmp4(codecs: Collection[str]) -> bool:
    """Whether the segments of a stream have to be fragmented MP4."""
    return not FMP4_CODECS.isdisjoint(codecs)


def _fmp4(init: str, *, has_hevc: bool) -> list[str]:
    form = ["-hls_segment_type", "fmp4", "-hls_fmp4_init_filename", init]
    return [*form, "-tag:v", "hvc1"] if has_hevc else form  # the only tag that Apple's players take


def _video(parameters: TranscodeParameters, largest: tuple[int, int] | None) -> Iterator[str]:
    if parameters.video == "drop":
        yield "-vn"
        return
    if parameters.video == "copy":
        yield from ("-c:v", "copy")
        return
    yield from ("-c:v", "libx264", "-pix_fmt", "yuv420p")  # what every player decodes
    yield from EXACT_TIMES
    if parameters.preset is not None:
        yield from ("-preset", parameters.preset)
    yield from ("-force_key_frames", f"expr:gte(t,n_forced*{KEY_FRAME_SECONDS})")
    filters = ",".join(_video_filters(parameters, largest))
    if filters:
        yield from ("-vf", filters)
    if parameters.video_kbps is not None:
        yield from _constant_bitrate(parameters.video_kbps)


def _constant_bitrate(kbps: int) -> tuple[str, ...]:
    """Target, minimum and maximum, over a second. A minimum means filler where pictures need less."""
    rate = f"{kbps}k"
    return ("-b:v", rate, "-minrate", rate, "-maxrate", rate, "-bufsize", rate, "-x264-params", "nal-hrd=cbr")


def _video_filters(parameters: TranscodeParameters, largest: tuple[int, int] | None) -> Iterator[str]:
    if parameters.fps is not None:
        yield f"fps={parameters.fps}"
    if parameters.width is not None or parameters.height is not None:
        # -2: as the proportions want it, and even
        yield f"scale={parameters.width or -2}:{parameters.height or -2}"
    if largest is not None and (parameters.width is None or parameters.height is None):
        # pictures that fit are passed through
        width, height = largest
        yield (
            f"scale=w='min(iw,{width})':h='min(ih,{height})':force_original_aspect_ratio=decrease:force_divisible_by=2"
        )


def _audio(parameters: TranscodeParameters) -> Iterator[str]:
    if parameters.audio == "drop":
        yield "-an"
    elif parameters.audio == "copy":
        yield from ("-c:a", "copy")
    else:
        yield from ("-c:a", "aac", "-af", FILLED_GAPS)
        if parameters.audio_bps is not None:
            yield from ("-b:a", str(parameters.audio_bps))
