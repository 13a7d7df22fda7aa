"""Options of requests: what changes something refuses one that it has not, whichever request it is."""

from trio.testing import MockClock

from mmids_trio.testing.harness import Harness

SHOW = "workflow show {\n    rtmp_receive rtmp_app=live stream_key=*\n}\n"
CHANGING = {"put", "post", "delete"}


async def test_what_changes_something_refuses_an_option_that_it_has_not_and_does_nothing(
    autojump_clock: MockClock,
) -> None:
    async with Harness(SHOW) as h:
        await h.publish("live/key", peer_host="192.0.2.1")
        [client] = (await h.http.get("/clients")).json()["clients"]
        ban = (await h.http.delete(f"/clients/{client['id']}?ban=60")).json()
        paths = (await h.http.get("/openapi.json")).json()["paths"]
        asked = [(method, path) for path, methods in paths.items() for method in methods if method in CHANGING]
        assert ("delete", "/bans/{id}") in asked
        for method, path in asked:
            there = path.replace("{name}", "show").replace("{id}", ban["id"]).replace("{step_id}", "1")
            for option in ("misspelt=true", "if_exists=true&wait=1&misspelt="):
                answer = await h.http.request(method.upper(), f"{there}?{option}")
                assert answer.status == 400, (method, path, answer)
                assert answer.json()["error"].startswith("unknown query parameter "), (method, path)
        refused = await h.http.delete("/workflows/show?dry_run=true")
        assert (refused.status, refused.json()["error"]) == (400, "unknown query parameter 'dry_run'; known are none")
        assert h.workflow("show").status == "Running"
        assert [each["id"] for each in (await h.http.get("/bans")).json()["bans"]] == [ban["id"]]
        assert (await h.http.get("/bans?misspelt=true")).status == 200
