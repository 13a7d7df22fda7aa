"""The command that signs a URL for a player."""

from time import time
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner

from mmids_trio.__main__ import main
from mmids_trio.cli.commands.sign_play_url import signed_url
from mmids_trio.errors import MmidsError
from mmids_trio.rtmp.protocol.requests import parse_query
from mmids_trio.rtmp.server.play_tokens import TokenVerdict, judge

URL = "rtmp://example.com/live/talk"


def test_the_url_lets_a_player_in_until_it_expires() -> None:
    signed = signed_url(URL, "s3cret", 100)
    base, _, query = signed.partition("?")
    assert base == URL
    assert judge(parse_query(query), "s3cret", "talk", 99) is TokenVerdict.GOOD
    assert judge(parse_query(query), "s3cret", "talk", 100) is TokenVerdict.EXPIRED


@pytest.mark.parametrize("url", ["talk", "http://example.com/live/talk", "rtmp://example.com/live/", f"{URL}?a=b"])
def test_what_cannot_be_signed_is_refused(url: str) -> None:
    with pytest.raises(MmidsError, match="expected"):
        signed_url(url, "s3cret", 100)


@pytest.mark.parametrize("name", ["MMIDS_PLAY_KEY", "mmids_play_key"])
def test_the_play_key_comes_from_the_environment(name: str) -> None:
    result = CliRunner().invoke(main, ["sign-play-url", URL, "--valid-for", "60"], env={name: "s3cret"})
    assert result.exit_code == 0
    query = urlsplit(result.output.strip()).query
    [expires] = parse_qs(query)["expires"]
    assert 0 < int(expires) - time() <= 60
    assert judge(parse_query(query), "s3cret", "talk", time()) is TokenVerdict.GOOD


def test_or_it_is_asked_for_and_not_shown() -> None:
    result = CliRunner().invoke(main, ["sign-play-url", URL], input="s3cret\n")
    assert result.exit_code == 0
    assert "s3cret" not in result.output
    assert judge(parse_query(urlsplit(result.output.split()[-1]).query), "s3cret", "talk", time()) is TokenVerdict.GOOD


def test_a_bad_url_is_one_line_and_exit_status_1() -> None:
    result = CliRunner().invoke(main, ["sign-play-url", "talk"], env={"MMIDS_PLAY_KEY": "s3cret"})
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: expected")
