"""How many clients a change of everything may cut: counted on real sessions (RTMP in memory), refused beyond."""

import httpx2
import pytest

from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream

SETTINGS = "settings {\n    http_api_port 0\n}\n"
AS_IT_IS = (
    "workflow live {\n    rtmp_receive rtmp_app=live stream_key=*\n    rtmp_watch rtmp_app=live stream_key=*\n}\n"
)
WITHOUT_WATCHERS = "workflow live {\n    rtmp_receive rtmp_app=live stream_key=*\n}\n"


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        (WITHOUT_WATCHERS, (0, 2)),
        (WITHOUT_WATCHERS.replace("=*", "=key"), (1, 2)),
        ("# nothing", (1, 2)),
        (AS_IT_IS, (0, 0)),
    ],
    ids=["the watchers' step goes", "both steps go", "the workflow goes", "nothing goes"],
)
async def test_more_clients_than_allowed_are_not_cut(text: str, cut: tuple[int, int]) -> None:
    async with Harness(SETTINGS) as h:
        await h.put(AS_IT_IS)
        await h.publish("key", generate_stream(seconds=1))
        watchers = [await h.watch("key") for _ in range(2)]
        for watcher in watchers:
            await watcher.receive(1)
        async with httpx2.AsyncClient(base_url=h.server.api_url or "", trust_env=False, verify=False) as client:
            plan = (await client.post("/config/plan?prune=true", content=text)).json()
            assert (plan["publishers"], plan["watchers"]) == cut
            total = sum(cut)
            if total:
                query = f"?prune=true&wait=20&max_disconnects={total - 1}"
                refused = await client.put(f"/config{query}", content=text)
                assert refused.status_code == 409
                assert f"would disconnect {total} clients ({cut[0]} publishers, {cut[1]} watchers)" in refused.text
                assert len(h.workflow("live").active_steps) == 2
            done = await client.put(f"/config?prune=true&wait=20&max_disconnects={total}", content=text)
            assert done.status_code == 200
            assert done.json() == plan
