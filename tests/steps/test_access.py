"""Publish tokens and signed play tokens, from a client's query to the refusal; and that nobody sees a secret."""

import pytest
from structlog.typing import EventDict
from trio.testing import MockClock

from mmids_trio.errors import ConfigurationError
from mmids_trio.rtmp.server.play_tokens import sign
from mmids_trio.testing.clients import ClientRefused
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream

PACKETS = generate_stream(seconds=1)
TOKEN, PLAY_KEY = "Tr0ub4dor-token", "c0rrect-h0rse"
NOW = 1_800_000_000
NOBODY = "NetStream.Publish.Denied"


def configuration(receive: str = "", watch: str = "", *, app: str = "live") -> str:
    return (
        f"workflow w {{\nrtmp_receive rtmp_app={app} stream_key=* {receive}\n"
        f"rtmp_watch rtmp_app={app} stream_key=* {watch}\n}}\n"
    )


def server(receive: str = "", watch: str = "") -> Harness:
    return Harness(configuration(receive, watch), now=lambda: NOW)


def signed(key: str, expires: int, play_key: str = PLAY_KEY) -> str:
    return f"{key}?expires={expires}&token={sign(play_key, key, expires)}"


@pytest.mark.parametrize(
    ("app", "key"),
    [
        ("live", f"key?token={TOKEN}"),
        ("live", f"key?a=b&token={TOKEN}&c"),
        (f"live?token={TOKEN}", "key"),
        ("live?token=wrong", f"key?token={TOKEN}"),
    ],
)
async def test_who_knows_the_token_may_publish(app: str, key: str, autojump_clock: MockClock) -> None:
    async with server(f"publish_token={TOKEN}") as h:
        watcher = await h.watch("live/key")
        publisher = await h.connect(app)
        await publisher.publish(key, PACKETS)
        await watcher.receive(len(PACKETS))
        assert watcher.report(PACKETS).missed == ()
        assert not h.server.rejections.raised()


@pytest.mark.parametrize("key", ["key", "key?token=", f"key?token={TOKEN[:-1]}", f"key?Token={TOKEN}", f"{TOKEN}"])
async def test_who_does_not_is_denied_and_learns_nothing_else(key: str, autojump_clock: MockClock) -> None:
    async with server(f"publish_token={TOKEN}") as h:
        owner = await h.publish(f"live/key?token={TOKEN}")
        with pytest.raises(ClientRefused) as refused:
            await h.publish(f"live/{key}")
        assert (refused.value.code, refused.value.description) == (NOBODY, "the publish token is missing or wrong")
        assert h.server.rejections.raised() == {"publish_token_wrong": 1}
        await owner.send(PACKETS)


async def test_a_token_is_one_of_each_workflow(autojump_clock: MockClock) -> None:
    async with server("publish_token=one") as h:
        await h.put("workflow v {\nrtmp_receive rtmp_app=other stream_key=* publish_token=two\n}")
        with pytest.raises(ClientRefused):
            await h.publish("other/key?token=one")
        await h.publish("other/key?token=two")


async def test_whoever_has_the_token_comes_from_the_same_source(autojump_clock: MockClock) -> None:
    async with server(f"on_busy=same_source publish_token={TOKEN}") as h:
        first = await h.publish(f"live/key?token={TOKEN}", PACKETS, peer_host="192.0.2.1")
        with pytest.raises(ClientRefused, match="token"):
            await h.publish("live/key", peer_host="192.0.2.1")
        await first.send(PACKETS[:1])
        await h.publish(f"live/key?token={TOKEN}", peer_host="198.51.100.1")
        await first.read_until_closed()


async def test_a_signed_player_is_served(autojump_clock: MockClock) -> None:
    async with server(watch=f"play_key={PLAY_KEY}") as h:
        watcher = await h.watch("live/" + signed("key", NOW + 1))
        await h.publish("live/key", PACKETS)
        await watcher.receive(len(PACKETS))
        assert watcher.report(PACKETS).missed == ()


@pytest.mark.parametrize(
    ("key", "why", "counter"),
    [
        ("key", "the play token is missing or wrong", "play_token_wrong"),
        (signed("other", NOW + 60).replace("other", "key"), "the play token is missing or wrong", "play_token_wrong"),
        (signed("key", NOW + 60, "guess"), "the play token is missing or wrong", "play_token_wrong"),
        (signed("key", NOW), "the play token has expired", "play_token_expired"),
    ],
)
async def test_any_other_player_is_refused(key: str, why: str, counter: str, autojump_clock: MockClock) -> None:
    async with server(watch=f"play_key={PLAY_KEY}") as h:
        with pytest.raises(ClientRefused) as refused:
            await h.watch(f"live/{key}")
        assert (refused.value.code, refused.value.description) == ("NetStream.Play.Failed", why)
        assert h.server.rejections.raised() == {counter: 1}


async def test_who_plays_when_the_token_expires_goes_on(autojump_clock: MockClock) -> None:
    now = [NOW]
    async with Harness(configuration("", f"play_key={PLAY_KEY}"), now=lambda: now[0]) as h:
        watcher = await h.watch("live/" + signed("key", NOW + 1))
        now[0] += 100
        await h.publish("live/key", PACKETS)
        await watcher.receive(len(PACKETS))
        with pytest.raises(ClientRefused, match="expired"):
            await h.watch("live/" + signed("key", NOW + 1))


# Who sees them.


async def test_secrets_are_hidden_from_the_api_and_not_from_the_plan(autojump_clock: MockClock) -> None:
    async with server(f"publish_token={TOKEN}", f"play_key={PLAY_KEY}") as h:
        answer = await h.http.get("/workflows/w")
        given = [step["parameters"] for step in answer.json()["active_steps"]]
        assert (given[0]["publish_token"], given[1]["play_key"]) == ("***", "***")
        assert TOKEN not in answer.text
        assert PLAY_KEY not in answer.text
        same = h.apply(configuration(f"publish_token={TOKEN}", f"play_key={PLAY_KEY}"))
        assert not same.plan.changed
        other = h.apply(configuration(f"publish_token={TOKEN}2", f"play_key={PLAY_KEY}"))
        assert [step.action for step in other.plan.steps].count("start") == 1
        await other.wait_outcome()
        await h.publish(f"live/key?token={TOKEN}2")


async def test_the_running_configuration_has_its_secrets_so_that_it_can_be_put_back(
    autojump_clock: MockClock,
) -> None:
    async with server(f"publish_token={TOKEN}") as h:
        text = (await h.http.get("/config")).text
        assert f"publish_token={TOKEN}" in text
        answer = await h.http.put("/config", content=text, params={"take_over": "true"})
        assert answer.status == 200
        await h.publish(f"live/key?token={TOKEN}")


@pytest.mark.parametrize(
    "step",
    [
        f"rtmp_receive rtmp_app=live stream_key=* publish_token={TOKEN} port=x",
        f'rtmp_receive rtmp_app=live stream_key=* publish_token="{TOKEN} {PLAY_KEY}" port=x',
        f"rtmp_watch rtmp_app=live play_key={PLAY_KEY} zzz",
        f"rtmp_watch rtmp_app=live stream_key=* play_key={PLAY_KEY} play_key={TOKEN}",
        f"rtmp_wach rtmp_app=live play_key={PLAY_KEY}",
        f'rtmp_watch rtmp_app=live play_key="{PLAY_KEY}',
    ],
)
def test_what_is_wrong_is_said_without_the_secret(step: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Harness(f"workflow w {{\n{step}\n}}\n")
    assert TOKEN not in str(refused.value)
    assert PLAY_KEY not in str(refused.value)
    assert step.split(maxsplit=1)[0] in str(refused.value)


@pytest.mark.parametrize("value", ["", "***"])
def test_what_stands_for_a_secret_is_none(value: str) -> None:
    with pytest.raises(ConfigurationError, match="expected a secret"):
        Harness(configuration(f'publish_token="{value}"'))


async def test_the_log_has_no_secrets(autojump_clock: MockClock, logs: list[EventDict]) -> None:
    async with server(f"publish_token={TOKEN}", f"play_key={PLAY_KEY}") as h:
        await h.publish(f"live/key?token={TOKEN}")
        with pytest.raises(ClientRefused):
            await h.publish("live/key?token=wr0ng")
        play = signed("key", NOW + 9)
        await h.watch(f"live/{play}")
        assert logs
        text = str(logs)
        for secret in (TOKEN, PLAY_KEY, play.rpartition("=")[2], "wr0ng"):
            assert secret not in text
