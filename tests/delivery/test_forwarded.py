"""Behind a reverse proxy a request is the client's, and nobody else's word counts."""

import pytest
from trio.testing import MockClock

from mmids_trio.addresses import parse_networks
from mmids_trio.delivery.forwarded import client_behind
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.web import WebClient

PROXIES = parse_networks("127.0.0.1,10.0.0.0/8")


@pytest.mark.parametrize(
    ("peer", "header", "client"),
    [
        ("127.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("127.0.0.1", "198.51.100.1, 203.0.113.7", "203.0.113.7"),
        ("127.0.0.1", "203.0.113.7, 10.1.2.3", "203.0.113.7"),
        ("127.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("127.0.0.1", "::ffff:203.0.113.7", "203.0.113.7"),
        ("127.0.0.1", None, "127.0.0.1"),
        ("127.0.0.1", "unknown", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.7, ", "127.0.0.1"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
    ],
)
def test_the_client_is_the_last_one_that_is_no_proxy(peer: str, header: str | None, client: str) -> None:
    assert client_behind(peer, header, PROXIES) == client


@pytest.mark.parametrize(("setting", "status"), [("http_media_proxies 127.0.0.1", 200), ("", 403)])
async def test_address_rules_go_by_the_client_behind_a_known_proxy(
    autojump_clock: MockClock, setting: str, status: int
) -> None:
    text = (
        f"settings {{\n {setting}\n}}\nworkflow w {{\n rtmp_receive rtmp_app=live stream_key=*\n"
        " http_watch app=live stream_key=* allow_ips=203.0.113.0/24\n}\n"
    )
    async with Harness(text) as h:
        await h.publish("live/key", generate_stream(seconds=1))
        web = WebClient(await h.open(port=8080))
        await web.begin("/live/key.flv", x_forwarded_for="203.0.113.7")
        found, _ = await web.head()
        assert found == status
        if status == 200:
            [shown] = [one for one in (await h.http.get("/clients")).json()["clients"] if one["role"] == "watcher"]
            assert shown["address"] == "203.0.113.7"
