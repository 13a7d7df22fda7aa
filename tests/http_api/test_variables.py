"""What takes values from outside is refused in a body, with its place; what says its values is taken, and not told."""

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from mmids_trio.testing.harness import Harness

LIVE = "workflow live {\n    rtmp_receive rtmp_app=live stream_key=${KEY} publish_token=${file:/run/token}\n}\n"
VALUES = 'values {\n    KEY "theKeyItself"\n    file:/run/token "theTokenItself"\n}\n'
INCLUDE = "include /etc/passwd\n" + LIVE.replace("${KEY}", "a").replace("${file:/run/token}", "b")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/workflows"), ("PUT", "/workflows?dry_run=true"), ("PUT", "/config"), ("POST", "/config/plan")],
)
async def test_a_body_with_a_variable_or_an_include_is_a_400_that_says_where(
    method: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "ofTheServer")
    async with Harness() as h:
        answer = await h.http.request(method, path, content=LIVE)
        assert answer.status == 400
        message = answer.json()["error"]
        assert (
            "<request>:2:43: 'KEY' is not among the values of this text: only a file that the server reads" in message
        )
        assert "<request>:2:64: 'file:/run/token' is not among the values of this text" in message
        assert "ofTheServer" not in message
        answer = await h.http.request(method, path, content=INCLUDE)
        assert answer.status == 400
        assert "<request>:1:1: other files cannot be included here: only a file that" in answer.json()["error"]
        assert h.server.workflows.names() == []


async def test_a_body_may_say_its_values_and_they_are_shown_to_nobody() -> None:
    async with Harness() as h:
        assert (await h.http.request("PUT", "/config?wait=10", content=VALUES + LIVE)).status == 200
        await h.publish("live/theKeyItself?token=theTokenItself")
        config, status = await h.http.request("GET", "/config"), await h.http.request("GET", "/workflows/live")
        assert "stream_key=${KEY}" in config.text
        assert "publish_token=${file:/run/token}" in config.text
        assert status.json()["active_steps"][0]["parameters"] == {
            "rtmp_app": "live",
            "stream_key": "***",
            "publish_token": "***",
        }
        assert "Itself" not in config.text + status.text + repr(h.events())


async def test_the_tag_tells_values_apart_that_the_text_does_not_show() -> None:
    async with Harness() as h:
        tags = []
        for values in (VALUES, VALUES.replace("theKeyItself", "anotherKey")):
            answer = await h.http.request("PUT", "/config?wait=10", content=values + LIVE)
            assert answer.json()["changed"]
            tags += [(await h.http.request("GET", path)).headers["etag"] for path in ("/config", "/workflows/live")]
        assert len(set(tags)) == 4


async def test_a_refusal_does_not_repeat_a_value_that_it_is_about() -> None:
    async with Harness() as h:
        await h.http.request("PUT", "/workflows?wait=10", content=VALUES + LIVE)
        thief = VALUES + LIVE.replace("workflow live", "workflow thief")
        for path in ("/workflows?wait=10&on_error=rollback", "/config?wait=10"):
            answer = await h.http.request("PUT", path, content=thief)
            assert answer.status == 409
            assert "taken by workflow 'live'" in answer.json()["error"]
            assert "theKeyItself" not in answer.text
        assert (await h.http.request("PUT", "/workflows", content=thief)).status == 200
        await h.wait_event(lambda event: getattr(event, "workflow", "") == "thief", since=0)
        assert "theKeyItself" not in (await h.http.request("GET", "/workflows/thief")).text
        assert "theKeyItself" not in repr(h.events())
