"""Which qualities are made of a source, how large they are, and what all of them have in common."""

import pytest

from mmids_trio.ffmpeg.ladder_arguments import ladder_arguments, rungs_for, size_of
from mmids_trio.ffmpeg.parameters import LadderParameters, Rung, copy_or_kbps, ladder_rungs
from mmids_trio.ffmpeg.process import output_pipe

RUNGS = ladder_rungs("1080p:5000,720p:2500,360p:600")


def test_renditions_are_lines_and_kbps() -> None:
    assert (Rung(1080, 5000), Rung(720, 2500), Rung(360, 600)) == RUNGS
    assert [rung.label for rung in RUNGS] == ["1080p", "720p", "360p"]
    assert (copy_or_kbps("copy"), copy_or_kbps("128")) == (None, 128)


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            "720",
            "720p",
            "720p:",
            "720p:0",
            "0p:100",
            "720p:100,",
            "720p:1,720p:2",
            "720P:1",
            "99999p:1",
            "+720p:1",
        ),
        ",".join(f"{lines}p:1" for lines in range(1, 10)),
    ],
)
def test_other_renditions_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match="expected up to 8 different <lines>p:<kbps>"):
        ladder_rungs(value)


@pytest.mark.parametrize("value", ["", "none", "7", "513", "128k"])
def test_other_sounds_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match="expected copy, or a bitrate of AAC from 8 to 512 kbps"):
        copy_or_kbps(value)


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ((1920, 1080), [1080, 720, 360]),
        ((3840, 2160), [1080, 720, 360]),
        ((1280, 720), [720, 360]),
        ((960, 540), [720, 360]),
        ((160, 90), [360]),
        ((1080, 1920), [1080, 720, 360]),
        (None, [1080, 720, 360]),
    ],
)
def test_nothing_is_made_larger_than_it_came(source: tuple[int, int] | None, made: list[int]) -> None:
    rungs = rungs_for(RUNGS, source)
    assert [rung.lines for rung in rungs] == made
    assert source is None or all(size_of(rung, source)[0] <= source[0] for rung in rungs)


@pytest.mark.parametrize(
    ("source", "lines", "size"),
    [
        ((1920, 1080), 720, (1280, 720)),
        ((1080, 1920), 720, (720, 1280)),
        ((960, 540), 720, (960, 540)),
        ((1279, 719), 360, (640, 360)),
        ((10_000, 10), 2, (2000, 2)),
    ],
)
def test_sizes_are_in_proportion_and_even(source: tuple[int, int], lines: int, size: tuple[int, int]) -> None:
    assert size_of(Rung(lines, 1), source) == size


def test_each_rung_has_its_output_and_all_have_the_same_key_frames() -> None:
    arguments = ladder_arguments(LadderParameters(RUNGS), (1280, 720))
    assert arguments.count("-i") == 1
    pipes = [argument for argument in arguments if argument.startswith("pipe:o")]
    assert pipes == [output_pipe(1), output_pipe(2)]
    ends = [arguments.index(pipe) for pipe in pipes]
    first, second = arguments[arguments.index("-i") + 2 : ends[0]], arguments[ends[0] + 1 : ends[1]]
    differing = [pair for pair in zip(first, second, strict=True) if pair[0] != pair[1]]
    assert differing == [
        ("scale=1280:720", "scale=640:360"),
        ("2500k", "600k"),
        ("3000k", "720k"),
        ("2500k", "600k"),
    ]
    assert "expr:gte(t,n_forced*2)" in first
    assert first[first.index("-sc_threshold") + 1] == "0"


def test_sound_is_copied_or_encoded() -> None:
    copied = ladder_arguments(LadderParameters(RUNGS[2:]), None)
    assert copied[copied.index("-c:a") + 1] == "copy"
    encoded = ladder_arguments(LadderParameters(RUNGS[2:], audio_kbps=96), None)
    assert encoded[encoded.index("-c:a") + 1] == "aac"
    assert encoded[encoded.index("-b:a") + 1] == "96k"
