"""Several webhooks of one server: each gets what its node says, and none waits for another."""

import json

import httpx2
import trio
from trio.testing import MockClock

from mmids_trio.testing import Harness
from tests.support.reloading import File

SHOW = """workflow {name} {{
    rtmp_receive rtmp_app={name} stream_key=*
}}
"""
NODES = """settings {
    webhook_url http://settings.test/
}
webhook failing {
    url http://failing.test/
}
webhook of-b {
    url http://b.test/
    secret s3cret
    types stream_began,client_joined
    workflow b
}
"""


class Service:
    """All services."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, str, str | None]] = []
        self.signed: set[str] = set()

    async def answer(self, request: httpx2.Request) -> httpx2.Response:
        await trio.lowlevel.checkpoint()
        if request.url.host == "failing.test":
            await trio.sleep(5)
            return httpx2.Response(503)
        body = json.loads(request.content)
        self.posts.append((request.url.host, body["type"], body.get("workflow")))
        if "X-Mmids-Signature" in request.headers:
            self.signed.add(request.url.host)
        return httpx2.Response(200)

    def client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=httpx2.MockTransport(self.answer), trust_env=False, timeout=None)


async def test_each_gets_what_its_node_says_and_none_waits_for_another(autojump_clock: MockClock) -> None:
    service = Service()
    h = Harness(NODES + SHOW.format(name="a") + SHOW.format(name="b"))
    for webhook in h.server._webhooks:
        webhook.client = service.client
    async with h:
        await h.publish("a/talk")
        await h.publish("b/talk")
        await trio.sleep(1)
        assert [post for post in service.posts if post[0] == "b.test"] == [
            ("b.test", "stream_began", "b"),
            ("b.test", "client_joined", "b"),
        ]
        of_settings = [(kind, workflow) for host, kind, workflow in service.posts if host == "settings.test"]
        assert ("stream_began", "a") in of_settings
        assert ("stream_began", "b") in of_settings
        assert "client_joined" not in {kind for kind, _ in of_settings}
    assert service.signed == {"b.test"}


async def test_other_webhooks_count_after_a_restart_and_a_reload_says_so(autojump_clock: MockClock) -> None:
    file = File("webhook a {\n    url http://a.test/\n}\n" + SHOW.format(name="a"))
    async with file.harness as h:
        assert h.server.reloader is not None
        assert "webhook" not in (await h.server.reloader.plan()).needs_restart
        file.text = file.text.replace("a.test", "b.test")
        assert "webhook" in (await h.server.reloader.plan()).needs_restart
