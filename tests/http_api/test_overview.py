"""What the dashboard reads: everything at once in little, and what it takes over of what others have."""

import gzip
import json
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from mmids_trio.http_api.overview import FRESH_SECONDS, LEAST_COMPRESSED, Answer
from mmids_trio.testing.harness import Harness
from tests.http_api.test_streams import SHOW, on_air


async def overview(h: Harness) -> Any:
    answer = await h.http.get("/ui/overview")
    assert answer.status == 200, answer
    return answer.json()


@pytest.mark.thorough
async def test_a_card_says_what_is_on_the_air_and_who_watches(autojump_clock: MockClock) -> None:
    async with on_air() as (h, _, _):
        seen = await overview(h)
        [stream] = seen["streams"]
        [[name, warnings, address, _, location]] = seen["said"]["streams"]
        assert (name, warnings, address, location) == ("key", [], "192.0.2.1", None)
        assert (stream["workflow"], stream["state"]) == ("show", "live")
        assert stream["watchers"] == {"rtmp": 2}
        assert stream["publisher"]["protocol"] == "rtmp"
        assert stream["bitrate"] > 0
        assert stream["video"].startswith("H.264 ")
        [workflow] = seen["workflows"]
        assert (workflow["name"], workflow["steps"]) == ("show", ["rtmp_receive", "rtmp_watch"])
        assert (workflow["publishers"], workflow["watchers"]) == (1, 2)
        assert seen["clients"] == {"publishers": 1, "watchers": 2}


@pytest.mark.thorough
async def test_one_answer_serves_all_pages_for_a_moment(autojump_clock: MockClock) -> None:
    async with on_air() as (h, publisher, _):
        before = await overview(h)
        publisher.close()
        await trio.sleep(FRESH_SECONDS / 2)
        assert await overview(h) == before
        await trio.sleep(FRESH_SECONDS)
        assert (await overview(h))["streams"][0]["state"] == "interrupted"


MANY = "".join(f"workflow show-{n} {{\n rtmp_receive rtmp_app=a{n} stream_key=*\n}}\n" for n in range(40))


@pytest.mark.thorough
async def test_a_large_answer_is_compressed_for_who_takes_that(autojump_clock: MockClock) -> None:
    async with Harness(MANY) as h:
        plain = await h.http.get("/ui/overview", headers={"Accept-Encoding": "gzip;q=0"})
        assert len(plain.content) > LEAST_COMPRESSED
        assert "content-encoding" not in plain.headers
        packed = await h.http.get("/ui/overview", headers={"Accept-Encoding": "gzip, br"})
        assert packed.headers["content-encoding"] == "gzip"
        assert len(packed.content) < len(plain.content) / 4
        assert gzip.decompress(packed.content) == plain.content
        assert {answer.headers["vary"] for answer in (plain, packed)} == {"Accept-Encoding"}
    async with on_air() as (h, _, _):
        small = await h.http.get("/ui/overview", headers={"Accept-Encoding": "gzip"})
        assert "content-encoding" not in small.headers
        assert small.json()["streams"]


def test_what_is_said_has_the_same_length_whatever_an_attacker_repeats_in_it() -> None:
    figures = json.dumps(list(range(LEAST_COMPRESSED))).encode()
    lengths = set()
    for guess in ("s3cret-key", "s3cret-kex", "qwertyuiop"):
        said = json.dumps(["s3cret-key", guess] + ["x" * 1000] * 70).encode()
        packed = Answer(figures, said).compressed()
        assert packed is not None
        assert gzip.decompress(packed) == figures + said
        lengths.add(len(packed))
    assert len(lengths) == 1
    assert max(lengths) > len(said)


@pytest.mark.thorough
async def test_names_and_programs_are_not_among_what_is_compressed(autojump_clock: MockClock) -> None:
    async with on_air() as (h, _, _):
        whole = (await h.http.get("/ui/overview")).text
        figures, _, said = whole.partition('"said": ')
        assert '"key"' in said
        assert "192.0.2.1" in said
        assert '"key"' not in figures
        assert "192.0.2.1" not in figures


@pytest.mark.thorough
async def test_steps_say_what_flows_through_them(autojump_clock: MockClock) -> None:
    async with on_air() as (h, _, _):
        steps = (await h.http.get("/workflows/show")).json()["active_steps"]
        now = (await h.http.get("/ui/steps/show")).json()
        counts = now["counts"]
        assert set(counts) == {step["step_id"] for step in steps}
        assert counts[steps[0]["step_id"]]["mmids_step_publishers"] == 1
        assert counts[steps[1]["step_id"]]["mmids_step_watchers"] == 2
        assert (await h.http.get("/ui/steps/none")).json() == {"counts": {}, "ports": {}}


async def test_steps_say_on_which_ports_they_really_are(autojump_clock: MockClock) -> None:
    text = """settings {
    http_media_port 8123
}
workflow show {
    rtmp_receive rtmp_app=a stream_key=* port=0
    rtmp_watch rtmp_app=a stream_key=*
    rtmp_watch rtmp_app=a stream_key=* port=2935
    http_watch app=a stream_key=*
    http_watch app=b stream_key=* port=8200
}
"""
    async with Harness(text) as h:
        ports = (await h.http.get("/ui/steps/show")).json()["ports"]
        any_free = h.server.rtmp.bound_port(0)
        assert any_free
        assert list(ports.values()) == [any_free, 1935, 2935, 8123, 8200]


TWO = SHOW + "workflow other {\n rtmp_receive rtmp_app=other stream_key=*\n}\n"
PLAN = "/config/plan?take_over=changed"


async def test_of_what_others_have_only_what_differs_is_taken_over(autojump_clock: MockClock) -> None:
    async with Harness(TWO) as h:
        text = (await h.http.get("/config")).text
        plan = (await h.http.post(PLAN, content=text)).json()
        assert (plan["workflows"], plan["changed"]) == ([], False)
        plan = (await h.http.post(PLAN, content=text.replace("rtmp_app=other", "rtmp_app=others"))).json()
        [view] = plan["workflows"]
        assert (view["workflow"], view["changed"], view["taken_from"]["kind"]) == ("other", True, "config")
        assert plan["summary"] == "workflows: 1 changed; disconnects nobody"
        answer = await h.http.put("/config?take_over=changed&wait=5", content=text.replace("app=other", "app=others"))
        assert answer.status == 200, answer
        owners = {name: h.server.workflows.owner(name) for name in ("show", "other")}
        assert {name: owner.kind for name, owner in owners.items() if owner} == {"show": "config", "other": "api"}
        mine = "workflow other {\n rtmp_receive rtmp_app=others stream_key=*\n}\n"
        plan = (await h.http.post(PLAN, content=mine)).json()
        assert [view["changed"] for view in plan["workflows"]] == [False]
    h.assert_quiet()
