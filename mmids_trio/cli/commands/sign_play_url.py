"""URLs that may be played until a certain time, for whoever gives them to players."""

import sys
from time import time

import click

from mmids_trio.errors import MmidsError
from mmids_trio.rtmp.protocol.urls import parse_rtmp_url
from mmids_trio.rtmp.server.play_tokens import EXPIRES, TOKEN, sign

PLAY_KEY_VARIABLES = ("MMIDS_PLAY_KEY", "mmids_play_key")
"""The first that is set holds the play key; the second is how 0.1.0 spelled it."""


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


@click.command("sign-play-url")
@click.argument("url")
@click.option(
    "--play-key", envvar=PLAY_KEY_VARIABLES, prompt=True, hide_input=True, help="The play_key of the rtmp_watch."
)
@click.option("--valid-for", type=click.IntRange(1), default=3600, show_default=True, help="Seconds from now.")
def sign_play_url(url: str, play_key: str, valid_for: int) -> None:
    """Print URL with a token that lets a player in for a limited time.

    The command asks for the play key unless the environment variable MMIDS_PLAY_KEY holds it. Other users of the
    machine can see a key that you give as an option.
    """
    try:
        click.echo(signed_url(url, play_key, int(time()) + valid_for))
    except MmidsError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
