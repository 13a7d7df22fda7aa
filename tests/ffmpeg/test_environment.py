"""What children are told of proxies: nothing but what the setting says."""

import pytest

from mmids_trio.ffmpeg.spawning import child_environment, proxy_variables


def test_a_child_is_told_of_no_proxy_but_ours() -> None:
    inherited = {"http_proxy": "http://x", "HTTPS_PROXY": "http://x", "no_proxy": "*", "all_proxy": "x", "HOME": "/h"}
    assert child_environment(inherited) == {"HOME": "/h"}
    assert proxy_variables(None, ["http://elsewhere/"]) == {}


@pytest.mark.parametrize(
    ("url", "more"),
    [
        ("http://elsewhere/?u=x", ""),
        ("http://127.0.0.1:80/", ""),
        ("http://u:p@127.8.0.1:80/a", ",127.8.0.1"),
        ("https://[0:0:0:0:0:0:0:1]/a", ",0:0:0:0:0:0:0:1"),
        ("http://LOCALHOST", ",LOCALHOST"),
        ("-i", ""),
    ],
)
def test_what_a_proxy_is_passed_by_for_is_spelled_as_in_the_url(url: str, more: str) -> None:
    told = proxy_variables("http://proxy:1", ["ffmpeg", "-i", url])
    assert told == {"http_proxy": "http://proxy:1", "no_proxy": "localhost,127.0.0.1,::1" + more}
