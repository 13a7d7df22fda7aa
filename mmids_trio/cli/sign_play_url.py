"""URLs that may be played until a certain time, for whoever gives them to players."""

from mmids_trio.errors import MmidsError
from mmids_trio.rtmp.play_tokens import EXPIRES, TOKEN, sign
from mmids_trio.rtmp.protocol.urls import parse_rtmp_url


def signed_url(url: str, play_key: str, expires: int) -> str:
    """`url` with the query that lets its player in until `expires` (Unix time in seconds).

    Raises `MmidsError` for what is no RTMP URL with a stream key; the message repeats nothing of it.
    """
    try:
        key = parse_rtmp_url(url).key
    except ValueError as error:
        raise MmidsError(str(error)) from error
    if not key or not play_key:
        raise MmidsError("expected <scheme>://<host>/<application>/<stream key>, and a play key that is not empty")
    if "?" in key:
        raise MmidsError("expected a URL without a query")
    return f"{url}?{EXPIRES}={expires}&{TOKEN}={sign(play_key, key, expires)}"
