"""RTMP URLs: what they say, what is refused, and that nothing secret is shown."""

import pytest

from mmids_trio.rtmp.protocol.urls import RtmpUrl, parse_rtmp_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("rtmp://host/live/key", RtmpUrl("host", 1935, False, "live", "key")),
        ("rtmps://host/live/key", RtmpUrl("host", 443, True, "live", "key")),
        ("RTMP://HOST:2000/a/b/key?t=1&u=2", RtmpUrl("host", 2000, False, "a/b", "key?t=1&u=2")),
        ("rtmp://[::1]:19350/live/k", RtmpUrl("::1", 19350, False, "live", "k")),
        ("rtmp://me:pass%20word@host/app/key", RtmpUrl("host", 1935, False, "app", "key", "me", "pass word")),
        ("rtmp://host/live/", RtmpUrl("host", 1935, False, "live", "")),
    ],
)
def test_a_url_is_taken_apart(url: str, expected: RtmpUrl) -> None:
    assert parse_rtmp_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "http://host/live/key",
        "rtmp:/host/live/key",
        "rtmp://host/key",
        "rtmp://host",
        "rtmp:///live/key",
        "rtmp://host:0/live/key",
        "rtmp://host:70000/live/key",
        "rtmp://host/live/a key",
        "rtmp://host/live/key\n",
        "rtmp://[::1/live/key",
    ],
)
def test_what_is_no_such_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"^expected ") as refused:
        parse_rtmp_url(url)
    assert "key" not in str(refused.value).replace("<stream key>", "")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtmp://me:pw@host/live/key?token=1", "rtmp://host/live/***"),
        ("rtmps://host:443/live/", "rtmps://host/live"),
        ("rtmp://[::1]:443/a/k", "rtmp://[::1]:443/a/***"),
    ],
)
def test_people_see_neither_key_nor_password(url: str, shown: str) -> None:
    assert str(parse_rtmp_url(url)) == shown
    assert "pw" not in repr(parse_rtmp_url(url))
