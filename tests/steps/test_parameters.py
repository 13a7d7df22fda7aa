"""Every way in which the parameters of a step may be wrong, each at its place; and spellings that mean the same."""

from collections.abc import Callable

import pytest

from mmids_trio.definitions import StepDefinition, WorkflowDefinition, step_ids
from mmids_trio.errors import ConfigurationError
from mmids_trio.steps.registry import StepRegistry

Found = list[tuple[int, int, str]]
Problems = Callable[..., Found]
Written = Callable[..., WorkflowDefinition]

ACCEPTED = (
    "rtmp_app, stream_key, port, rtmps, allow_ips, deny_ips, reactor, auth_url, play_key, send_interval, gop_cache, "
    "max_lag, cluster"
)


@pytest.mark.parametrize(
    ("step", "column", "message"),
    [
        ("rtmp_recieve a=b", 5, "unknown step type 'rtmp_recieve'; did you mean 'rtmp_receive'?"),
        (
            "rtmp_watch rtmp_app=a stream_key=k prot=1",
            40,
            "rtmp_watch: unknown parameter 'prot'; did you mean 'port'?",
        ),
        (
            "rtmp_watch rtmp_app=a stream_key=k zzz",
            40,
            f"rtmp_watch: unknown parameter 'zzz'; expected one of {ACCEPTED}",
        ),
        ("rtmp_watch rtmp_app=a", 5, "rtmp_watch: missing required parameter 'stream_key'"),
        (
            "rtmp_watch rtmp_app=a stream_key",
            27,
            "rtmp_watch: bad value for 'stream_key': expected a value (stream_key=...)",
        ),
        (
            "rtmp_watch rtmp_app= stream_key=k",
            16,
            "rtmp_watch: bad value '' for 'rtmp_app': expected a value that is not empty",
        ),
        (
            "rtmp_watch rtmp_app=a stream_key=k port=65536",
            40,
            "rtmp_watch: bad value '65536' for 'port': expected a whole number from 0 to 65535",
        ),
        (
            "rtmp_watch rtmp_app=a stream_key=k port=-1",
            40,
            "rtmp_watch: bad value '-1' for 'port': expected a whole number from 0 to 65535",
        ),
        (
            "rtmp_watch rtmp_app=a stream_key=k port=\uff11\uff19",
            40,
            "rtmp_watch: bad value '\uff11\uff19' for 'port': expected a whole number from 0 to 65535",
        ),
        (
            "rtmp_watch rtmp_app=a stream_key=k port",
            40,
            "rtmp_watch: bad value for 'port': expected a value (port=...)",
        ),
        (
            "rtmp_watch rtmp_app=a stream_key=k rtmps=yes",
            40,
            "rtmp_watch: bad value 'yes' for 'rtmps': expected no value, as it is a flag, or true or false",
        ),
        (
            "rtmp_watch rtmp_app=a stream_key=k allow_ips=10.0.0.0/8,10.0.0.0/40",
            40,
            "rtmp_watch: bad value '10.0.0.0/8,10.0.0.0/40' for 'allow_ips': "
            "'10.0.0.0/40' is not an IPv4 or IPv6 address or CIDR network",
        ),
        (
            "rtmp_watch rtmp_app=a stream_key=k allow_ips=10.0.0.1 deny_ips=10.0.0.2",
            5,
            "rtmp_watch: expected 'allow_ips' or 'deny_ips', not both",
        ),
        (
            "rtmp_receive rtmp_app=a stream_key=abc?x=y",
            5,
            "rtmp_receive: 'stream_key' cannot have a query, which is no part of a key: write what stands before the"
            " '?', and check the query with publish_token, play_key or a reactor",
        ),
        (
            "ffmpeg_transcode vcodec=copy acodec=copy kbps=1 bitrate=1",
            53,
            "ffmpeg_transcode: 'bitrate' is another spelling of 'kbps', which is given already",
        ),
        (
            "ffmpeg_transcode vcodec=h265 acodec=copy",
            22,
            "ffmpeg_transcode: bad value 'h265' for 'vcodec': expected one of copy, h264; did you mean 'h264'?",
        ),
        (
            "ffmpeg_transcode vcodec=copy acodec=copy size=640",
            46,
            "ffmpeg_transcode: bad value '640' for 'size': expected <width>x<height> in pixels, each up to 16384",
        ),
        (
            "forward_to_workflow",
            5,
            "forward_to_workflow: expected exactly one of 'target_workflow' and 'reactor'",
        ),
        (
            "workflow_forwarder target_workflow=a reactor=r",
            5,
            "workflow_forwarder: expected exactly one of 'target_workflow' and 'reactor'",
        ),
    ],
)
def test_what_is_wrong_is_said_once_and_at_its_place(
    step: str, column: int, message: str, problems_of: Problems
) -> None:
    assert problems_of(step) == [(2, column, message)]


def test_all_problems_of_all_steps_are_found_at_once(registry: StepRegistry, written: Written) -> None:
    definition = written("rtmp_watch port=x rtmps=1", "nonsense", "ffmpeg_hls path=/x count=-1")
    with pytest.raises(ConfigurationError) as caught:
        registry.validate(definition)
    places = [(problem.place.line, problem.place.column) for problem in caught.value.problems]
    assert places == [(2, 5), (2, 5), (2, 16), (2, 23), (3, 5), (4, 24)]


@pytest.mark.parametrize("digits", [20, 5_000])
def test_a_number_of_any_length_is_a_problem_like_any_other(digits: int, problems_of: Problems) -> None:
    [(line, column, message)] = problems_of(f"rtmp_watch rtmp_app=a stream_key=k port={'9' * digits}")
    assert (line, column) == (2, 40)
    assert "expected a whole number from 0 to 65535" in message


@pytest.mark.parametrize(
    "step",
    [
        "rtmp_receive rtmp_app=a/b stream_key=* port=0 rtmps allow_ips=::1,10.0.0.0/8 reactor=r",
        "rtmp_watch rtmp_app=/a/ stream_key=key port=65535 deny_ips=::ffff:10.0.0.1",
        "ffmpeg_transcode vcodec=h264 acodec=aac h264_preset=slow size=640x480 bitrate=100",
        "ffmpeg_transcode vcodec=h264 acodec=copy",
        "basic_transcode video=drop audio=copy",
        "forward_to_workflow target_workflow=x",
    ],
)
def test_what_is_right_has_no_problems(step: str, problems_of: Problems) -> None:
    assert problems_of(step) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "ffmpeg_transcode vcodec=h264 h264_preset=fast acodec=copy kbps=9",
            "ffmpeg_transcode bitrate=9 acodec=copy h264_preset=fast vcodec=h264",
        ),
        ("workflow_forwarder target_workflow=x", "forward_to_workflow target_workflow=x"),
        ("rtmp_watch rtmp_app=a stream_key=b rtmps", "rtmp_watch rtmps stream_key=b rtmp_app=a"),
        ("rtmp_watch rtmp_app=a stream_key=b rtmps", "rtmp_watch rtmp_app=a stream_key=b rtmps=true"),
        ("rtmp_watch rtmp_app=a stream_key=b", "rtmp_watch rtmp_app=a stream_key=b rtmps=false"),
        (
            "ffmpeg_transcode vcodec=h264 h264_preset=veryfast acodec=aac",
            "ffmpeg_transcode vcodec=H264 h264_preset=VeryFast acodec=AAC",
        ),
        (
            "basic_transcode video=x264 video_preset=slow audio=avenc_aac",
            "basic_transcode video=X264 video_preset=SLOW audio=AVENC_AAC",
        ),
    ],
)
def test_another_spelling_or_order_is_the_same_step(
    one: str, other: str, registry: StepRegistry, written: Written
) -> None:
    first, second = (registry.validate(written(step)).steps for step in (one, other))
    assert step_ids(first) == step_ids(second)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("rtmp_watch rtmp_app=a stream_key=b", "rtmp_receive rtmp_app=a stream_key=b"),
        ("rtmp_watch rtmp_app=a stream_key=b", "rtmp_watch rtmp_app=b stream_key=a"),
        ("rtmp_watch rtmp_app=a stream_key=b", "rtmp_watch rtmp_app=a stream_key=b port=1935"),
    ],
)
def test_another_type_or_parameter_is_another_step(
    one: str, other: str, registry: StepRegistry, written: Written
) -> None:
    first, second = (registry.validate(written(step)).steps for step in (one, other))
    assert step_ids(first) != step_ids(second)


def test_what_is_validated_keeps_its_places(registry: StepRegistry, written: Written) -> None:
    [step] = registry.validate(written("ffmpeg_transcode vcodec=h264 h264_preset=fast acodec=copy bitrate=9")).steps
    assert step.step_type == "ffmpeg_transcode"
    assert list(step.parameters) == ["vcodec", "h264_preset", "acodec", "kbps"]
    assert step.parameter_places["kbps"].column == 63


def test_a_definition_made_by_code_has_problems_without_a_place(registry: StepRegistry) -> None:
    [problem] = registry.problems(WorkflowDefinition("w", (StepDefinition("rtmp_watch", {"rtmp_app": "a"}),)))
    assert problem.place.file == "<definition>"
    assert "stream_key" in problem.message
