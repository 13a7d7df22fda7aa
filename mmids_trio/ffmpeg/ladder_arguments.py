"""What ffmpeg is told to make a ladder: all qualities of one stream at once, from pictures that are decoded once. Pure.

Apart from the other argument lists since every output is a pipe of its own, and all have to agree on their key frames:
a player goes from one quality to another at a key frame, where it finds the same picture.
"""

from collections.abc import Sequence

from mmids_trio.ffmpeg.arguments import COMMON, EXACT_TIMES, FILLED_GAPS, FROM_PIPE, KEY_FRAME_SECONDS, TO_PIPE, TRACKS
from mmids_trio.ffmpeg.parameters import LadderParameters, Rung, Size, even
from mmids_trio.ffmpeg.process import output_pipe

_NO_OTHER_KEY_FRAMES = ("-g", "9999", "-sc_threshold", "0")
"""An encoder that sees a new scene, or counts pictures, would set one where others set none."""

_PEAK = 1.2
"""Times the bitrate that a second of pictures may take: a player chooses by what a quality takes at its worst."""


def rungs_for(rungs: Sequence[Rung], source: Size | None) -> Sequence[Rung]:
    """Those that are made of a source of that size: none shows more lines than it has, and one shows all of them.

    Where none has exactly as many, that is the next larger one.  All, as long as the size is not known.
    """
    if source is None:
        return rungs
    most = min((rung.lines for rung in rungs if rung.lines >= min(source)), default=0)
    return [rung for rung in rungs if rung.lines < min(source) or rung.lines == most]


def size_of(rung: Rung, source: Size) -> Size:
    """Of a rendition's pictures: in proportion, even, and never larger than the source's."""
    scale = min(1.0, rung.lines / min(source))
    width, height = source
    return even(width * scale), even(height * scale)


def ladder_arguments(parameters: LadderParameters, source: Size | None) -> list[str]:
    """Turn the FLV on standard input into one FLV for each rung, at the output that has its place in the parameters."""
    made = rungs_for(parameters.renditions, source)
    outputs = [
        argument
        for index, rung in enumerate(parameters.renditions)
        if rung in made
        for argument in _output(parameters, rung, source, index)
    ]
    return [*COMMON, *FROM_PIPE, *outputs]


def _output(parameters: LadderParameters, rung: Rung, source: Size | None, index: int) -> list[str]:
    kbps = parameters.audio_kbps
    audio = ("copy",) if kbps is None else ("aac", "-b:a", f"{kbps}k", "-af", FILLED_GAPS)
    return [
        *(*TRACKS, "-c:v", "libx264", "-pix_fmt", "yuv420p", *EXACT_TIMES, "-vf", _scale(rung, source)),
        # without B-frames and pictures that are looked at ahead: they would come half a second later
        *("-preset", parameters.preset, "-tune", "zerolatency"),
        *("-force_key_frames", f"expr:gte(t,n_forced*{KEY_FRAME_SECONDS})", *_NO_OTHER_KEY_FRAMES),
        *("-b:v", f"{rung.kbps}k", "-maxrate", f"{round(rung.kbps * _PEAK)}k", "-bufsize", f"{rung.kbps}k"),
        *("-c:a", *audio, *TO_PIPE, output_pipe(index)),
    ]


def _scale(rung: Rung, source: Size | None) -> str:
    if source is not None:
        width, height = size_of(rung, source)
        return f"scale={width}:{height}"
    return f"scale=w='if(gt(iw,ih),-2,min(iw,{rung.lines}))':h='if(gt(iw,ih),min(ih,{rung.lines}),-2)'"
