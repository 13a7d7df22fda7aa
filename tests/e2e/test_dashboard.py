"""The dashboard in a real browser, with a real ffmpeg on the air: seen, changed, attacked, and read aloud."""

import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
import trio
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from mmids_trio.http_api.token_file import changed
from mmids_trio.http_api.tokens import Scope, make_token
from tests.support.browsers import BROWSERS, EACH
from tests.support.commands import as_process
from tests.support.dashboard import Page, fill, missing, open_browser
from tests.support.ffmpeg import Crew, Recording
from tests.support.processes import start
from tests.support.program import ROOT, Launch, Program, curl, serve

pytestmark = pytest.mark.e2e

TOKEN = "s3cret-t0ken"
SETTINGS = f"http_api_token {TOKEN}"
SHOW = """workflow show {
    rtmp_receive rtmp_app=live stream_key=* port=0
    rtmp_watch rtmp_app=live stream_key=* port=0
}
"""
MORE = """
workflow more {
    rtmp_receive rtmp_app=more stream_key=* port=0
}
"""
T = TypeVar("T")


async def by_hand(act: Callable[[], T]) -> T:
    """What somebody does in a browser; it knows deadlines of its own."""
    return await trio.to_thread.run_sync(act)


@pytest.fixture(params=["chromium"])
def page(request: pytest.FixtureRequest) -> Iterator[Callable[[Program], Page]]:
    """The dashboard of a server, in a browser that has seen nothing yet."""
    if lacking := missing(request.param):
        pytest.skip(f"not installed: {', '.join(lacking)}")
    with open_browser(request.param) as driver:
        yield lambda program: Page(driver, program.api)


async def printed(program: Program, *arguments: str, stdin: str) -> str:
    """What a command prints."""
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    command = as_process("--server", program.api, "--token", TOKEN, *arguments)
    done = await trio.run_process(command, stdin=stdin.encode(), capture_stdout=True, check=False, env=environment)
    return bytes(done.stdout).decode()


async def test_somebody_signs_in_sees_who_would_be_cut_and_changes_a_workflow(
    launch: Launch, crew: Crew, show: Recording, page: Callable[[Program], Page]
) -> None:
    program = await launch(SHOW, settings=SETTINGS)
    dashboard = page(program)

    def sign_in() -> None:
        dashboard.open()
        dashboard.field("Token").send_keys("guess", Keys.ENTER)
        dashboard.says("This token is not known here.")
        dashboard.sign_in(TOKEN)
        dashboard.says("Nothing is on the air.")

    await by_hand(sign_in)
    await crew.publish(show, program.url("tonight"))
    player = await crew.play(program.url("tonight"))
    await player.gets(30)
    await by_hand(partial(dashboard.says, "tonight", "On the air"))
    await by_hand(partial(dashboard.says, "1 watcher"))
    seen = "return document.querySelector('.picture img')?.naturalWidth > 0"
    await by_hand(lambda: dashboard.until(lambda: dashboard.driver.execute_script(seen), "picture of the stream"))

    text = SHOW.replace("rtmp_app=live stream_key=* port=0\n}", "rtmp_app=elsewhere stream_key=* port=0\n}") + MORE

    def plan() -> None:
        dashboard.go("Change")
        dashboard.until(lambda: "workflow show" in str(dashboard.field("Configuration").get_property("value")), "text")
        dashboard.write(text.replace("rtmp_watch", "rtmp_wacht"))
        dashboard.says("Line 3, column 5: unknown step type 'rtmp_wacht'")
        dashboard.write(text)
        dashboard.button("Plan").click()
        dashboard.says("disconnects 1 watcher", "Plan")

    await by_hand(plan)
    region = await by_hand(partial(dashboard.region, "Plan"))
    assert "Watcher: 127.0.0.1" in region
    said = await printed(program, "plan", "--take-over", "-", stdin=text)
    assert said.splitlines()[-1] in region
    await by_hand(lambda: dashboard.button("Apply").click())
    await by_hand(partial(dashboard.says, "Applied", "Plan"))
    await player.child.end()
    names = (await curl(f"{program.api}/workflows", "-H", f"Authorization: Bearer {TOKEN}")).json
    assert [each["name"] for each in names] == ["show", "more"]

    def restore() -> None:
        dashboard.find("//section[h2='History']//button[normalize-space()='as it was before']", "history").click()
        value = "return document.getElementById('configuration').value"
        dashboard.until(lambda: "rtmp_app=elsewhere" not in dashboard.driver.execute_script(value), "old text")
        dashboard.button("Plan").click()
        dashboard.says("workflows: 1 changed", "Plan")

    await by_hand(restore)

    await by_hand(partial(look_back, dashboard))


def look_back(dashboard: Page) -> None:
    """The last hour, all of which is from before this page."""
    dashboard.driver.refresh()
    dashboard.go("Timeline")
    dashboard.says("workflow changed", "What happened")
    dashboard.says("stream began", "What happened")
    path = "//figure[contains(@class, 'lanes')]//div[span='tonight']//i[contains(@class, 'live')]"
    bar = dashboard.find(path, "bar of the stream")
    dashboard.driver.execute_script("arguments[0].click()", bar)  # of two seconds in an hour, too small for a pointer
    dashboard.says("publisher joined", "Log")


async def test_what_would_cut_more_than_was_shown_or_comes_too_late_changes_nothing(
    launch: Launch, crew: Crew, show: Recording, page: Callable[[Program], Page]
) -> None:
    program = await launch(SHOW, settings="changes_in_place false")
    dashboard = page(program)
    changed = SHOW.replace("rtmp_receive", "rtmp_receive").replace("* port=0\n}", "* port=0 gop_cache=false\n}")

    def plan() -> None:
        dashboard.open().go("Change")
        dashboard.write(changed)
        dashboard.button("Plan").click()
        dashboard.says("disconnects nobody", "Plan")

    await by_hand(plan)
    await crew.publish(show, program.url("tonight"))
    player = await crew.play(program.url("tonight"))
    await player.gets(30)
    await by_hand(lambda: dashboard.button("Apply").click())
    await by_hand(partial(dashboard.says, "Nothing was changed", "Plan"))
    assert "max_disconnects" in await by_hand(partial(dashboard.region, "Plan"))
    await program.put(MORE.strip())
    await by_hand(lambda: dashboard.button("Apply").click())
    await by_hand(partial(dashboard.says, "Somebody else has changed the configuration", "Plan"))
    await player.gets(60)


OTHERS = """
workflow news {
    rtmp_receive rtmp_app=news stream_key=* publish_token=0thers-l0ng-secret port=0
}
"""


HOLD = """
const ask = window.fetch;
window.fetch = async (path, how) => {
  if (path.endsWith("/config")) {
    window.fetch = ask;
    await new Promise((goOn) => { window.goOn = goOn; });
  }
  return ask(path, how);
};"""
"""The configuration is not read, the first time, before `goOn` is called."""


def write_too_early(dashboard: Page) -> None:
    """While the configuration is held, the editor says so and takes no text."""
    field = dashboard.field("Configuration")
    assert (field.get_property("placeholder"), field.get_property("readOnly")) == ("Reading…", True)
    assert not dashboard.find("//button[normalize-space()='Plan']", "button Plan").is_enabled()
    field.send_keys("too early")
    dashboard.driver.execute_script("goOn()")
    dashboard.until(lambda: "workflow show" in str(field.get_property("value")), "text")
    assert "too early" not in str(field.get_property("value"))


FAIL = """
const ask = window.fetch;
window.fetch = async (path, how) => {
  if (!path.endsWith("/config")) return ask(path, how);
  window.fetch = ask;
  return new Response('{"error": "no time for you"}', { status: 503, headers: { "Content-Type": "application/json" } });
};"""
"""The configuration is refused once."""


def start_over(dashboard: Page) -> None:
    """Also where the configuration cannot be read at that time: what was read last comes back."""
    field = dashboard.field("Configuration")
    text = str(field.get_property("value"))
    dashboard.write("workflow show {\n    rtmp_w")
    dashboard.find("//*[@role='option' and .='rtmp_watch']", "kind of step that is offered")
    dashboard.driver.execute_script(FAIL)
    dashboard.button("Start over").click()
    dashboard.find("//*[@role='alert'][contains(., 'no time for you')]", "alert")
    dashboard.until(lambda: field.get_property("value") == text, "text of before")
    assert "no time for you" not in dashboard.region("Today")
    dashboard.button("Start over").click()
    dashboard.until(lambda: "no time for you" not in dashboard.text, "end of the alert")


async def test_who_may_change_some_workflows_sees_and_changes_these_alone(
    launch: Launch, tmp_path: Path, page: Callable[[Program], Page]
) -> None:
    tokens = tmp_path / "tokens.json"
    secret, token = make_token("crew", [Scope.parse("change:sho*")], "2026-01-01T00:00:00.000Z")
    with changed(tokens) as kept:
        kept.append(token)
    program = await launch(SHOW + OTHERS, settings=f"{SETTINGS}\nhttp_api_tokens_path {tokens}")
    dashboard = page(program)

    def change() -> None:
        dashboard.open()
        dashboard.field("Token").send_keys(secret)
        dashboard.driver.execute_script(HOLD)
        dashboard.field("Token").send_keys(Keys.ENTER)  # it leads to the one place that is offered
        write_too_early(dashboard)
        dashboard.says("Your token may change the workflows sho*.")
        dashboard.says("rtmp_app=live", "Today")
        assert dashboard.driver.find_elements(By.XPATH, "//nav/a[not(normalize-space()='Change')]") == []
        start_over(dashboard)
        dashboard.write(SHOW.replace("rtmp_app=live", "rtmp_app=elsewhere"))
        dashboard.button("Plan").click()
        dashboard.says("workflows: 1 changed; disconnects nobody", "Plan")
        dashboard.button("Apply").click()
        dashboard.says("Applied", "Plan")
        dashboard.says("rtmp_app=elsewhere", "Today")
        dashboard.says("crew", "History")
        assert "news" not in dashboard.driver.page_source
        dashboard.write(OTHERS)
        dashboard.button("Plan").click()
        dashboard.says("the token 'crew' may not change workflow 'news'", "Plan")
        check("Change", dashboard)

    await by_hand(change)


async def test_the_page_goes_on_by_itself_when_the_server_is_killed_and_back(
    nursery: trio.Nursery, tmp_path: Path, free_port: int, page: Callable[[Program], Page]
) -> None:
    program = await serve(nursery, tmp_path, SHOW, api_port=free_port, settings=SETTINGS)
    dashboard = page(program)

    def sign_in() -> None:
        dashboard.open().sign_in(TOKEN)
        dashboard.says("Nothing is on the air.")
        dashboard.driver.execute_script("window.sameWindow = true")

    await by_hand(sign_in)
    program.child.send(signal.SIGKILL)
    await program.child.end()
    await by_hand(partial(dashboard.says, "The server does not answer."))
    program = await serve(nursery, tmp_path, SHOW + MORE, api_port=free_port, settings=SETTINGS)

    def look() -> None:
        dashboard.until(lambda: "The server does not answer." not in dashboard.text, "end of the warning")
        dashboard.go("Workflows")
        dashboard.says("more")
        assert dashboard.driver.execute_script("return window.sameWindow")

    await by_hand(look)
    program.child.send(signal.SIGTERM)
    await program.child.end()


async def test_a_source_is_switched_and_a_client_sent_away(
    launch: Launch, crew: Crew, show: Recording, page: Callable[[Program], Page]
) -> None:
    program = await launch(
        "workflow show {\n rtmp_receive rtmp_app=live stream_key=* port=0\n"
        " failover primary=main backup=spare output=tonight after=1 revert=manual\n"
        " rtmp_watch rtmp_app=live stream_key=tonight port=0\n}\n"
    )
    await crew.publish(show, program.url("main"))
    player = await crew.play(program.url("tonight"))
    await player.gets(30)  # of the main source: with revert=manual, the one that was first stays
    await crew.publish(show, program.url("spare"))
    dashboard = page(program)

    def switch() -> None:
        dashboard.open().go("Workflows")
        dashboard.link("show").click()
        dashboard.says("sends 'main'")
        dashboard.find("//tr[td[1]='Publisher'][contains(., 'spare')]", "publisher of the spare source")
        dashboard.button("Switch to spare").click()
        dashboard.says("sends 'spare'")
        watcher = dashboard.find("//tr[td[1]='Watcher']//button", "watcher")
        watcher.click()
        dashboard.until(lambda: "Watcher" not in dashboard.region("Clients"), "end of the watcher")

    await by_hand(switch)
    await player.child.end()


async def test_a_signed_link_made_in_the_page_has_a_player_in_and_stands_there_as_a_qr_code(
    launch: Launch, crew: Crew, show: Recording, page: Callable[[Program], Page]
) -> None:
    play_key = "An0ther-l0ng-rand0m-0ne"
    program = await launch(
        "workflow show {\n rtmp_receive rtmp_app=live stream_key=* port=0\n"
        f" rtmp_watch rtmp_app=live stream_key=* port=0 play_key={play_key}\n}}\n",
        settings=SETTINGS,
    )
    await crew.publish(show, program.url("tonight"))
    dashboard = page(program)

    def sign() -> str:
        dashboard.open().sign_in(TOKEN)
        dashboard.go("Workflows")
        dashboard.link("show").click()
        fill(dashboard.field("Stream key"), "tonight")
        dashboard.button("Make a link").click()
        link = dashboard.find("//*[@class='signed']/code", "signed link").text
        dashboard.button(f"QR code of {link}").click()
        code = dashboard.find(f"//*[@role='img' and @aria-label='QR code of {link}']", "QR code")
        assert code.size["width"] > 100
        assert play_key not in dashboard.driver.page_source
        check("Try it", dashboard)
        assert link.startswith(f"{program.url('tonight')}?")  # on the port that the system has chosen for port=0
        copy(dashboard, link)
        return link

    link = await by_hand(sign)
    player = await crew.play(program.url(f"tonight?{link.partition('?')[2]}"))
    await player.gets(30)


def copy(dashboard: Page, link: str) -> None:
    """As on plain HTTP from another machine, where browsers have no clipboard API; then without any other way."""
    run = dashboard.driver.execute_script
    run("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    dashboard.button(f"Copy {link}").click()
    dashboard.find("//*[@class='signed']//*[@role='status' and .='Copied']", "word that it is copied")
    field = dashboard.field("Stream key")
    fill(field, Keys.CONTROL, "v")
    assert field.get_property("value") == link
    fill(field, "tonight")
    run("document.execCommand = () => false")
    ffmpeg = "//button[starts-with(@aria-label, 'Copy ffmpeg')]"
    dashboard.find(ffmpeg, "button that copies the command").click()
    dashboard.says("Selected: copy it with Ctrl+C", "Try it")
    selected = str(run("return getSelection().toString()"))
    assert selected.startswith("ffmpeg -re")
    assert selected in str(dashboard.find(ffmpeg, "the same").get_attribute("aria-label"))


KEYS = ("<img%20src=x%20onerror=window.hacked=1>", "'\"><script>window.hacked=2;", "javascript:window.hacked=3")
NAME = "<script>window.hacked++</script>"
AGENT = "<svg onload=window.hacked=4>"


async def test_no_name_and_no_error_runs_or_is_read_as_html(
    launch: Launch, crew: Crew, show: Recording, page: Callable[[Program], Page]
) -> None:
    program = await launch(
        f'{SHOW}workflow {NAME} {{\n rtmp_receive rtmp_app="{AGENT}" stream_key=x port=0\n'
        f' ffmpeg_pull location="/nowhere/{AGENT}" stream_name="{AGENT}"\n}}\n'
    )
    for key in KEYS:
        await crew.publish(show, program.url(key))
    await start(
        crew.nursery,
        ["ffmpeg", "-v", "error", "-rtmp_flashver", AGENT, "-i", program.url(KEYS[0]), "-f", "null", "-"],
        name="player",
    )
    dashboard = page(program)

    def look() -> None:
        dashboard.open()
        for key in KEYS[1:]:
            dashboard.says(key, "On the air")
        dashboard.go("Workflows")
        dashboard.link(NAME).click()
        dashboard.says(AGENT, "Steps")
        dashboard.go("Workflows")
        dashboard.link("show").click()
        dashboard.says(KEYS[1], "Clients")
        dashboard.says(AGENT, "Clients")
        dashboard.go("Change")
        dashboard.write(f'workflow {NAME} {{\n "{AGENT}" "{AGENT}"="{AGENT}"\n}}\n')
        dashboard.button("Plan").click()
        dashboard.says("Nothing was changed", "Plan")
        dashboard.write(f'workflow {NAME} {{\n rtmp_receive rtmp_app="{AGENT}" stream_key=y port=0\n}}\n')
        dashboard.button("Plan").click()
        dashboard.says("workflows: 1 changed", "Plan")
        dashboard.go("Timeline")

    await by_hand(look)
    assert await by_hand(dashboard.scripts_that_ran) is None


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (360, True)], ids=["desk", "phone in the dark"])
async def test_everybody_can_use_every_place(
    launch: Launch, crew: Crew, show: Recording, width: int, dark: bool
) -> None:
    if lacking := missing("chromium"):
        pytest.skip(f"not installed: {', '.join(lacking)}")
    program = await launch(SHOW + MORE, settings=SETTINGS)
    await crew.publish(show, program.url("tonight"))
    player = await crew.play(program.url("tonight"))
    await player.gets(30)

    def look() -> None:
        with open_browser("chromium", width, 800, dark=dark) as driver:
            dashboard = Page(driver, program.api).open()
            dashboard.field("Token")
            check("sign-in", dashboard)
            dashboard.sign_in(TOKEN)
            dashboard.says("tonight", "On the air")
            check("Overview", dashboard)
            dashboard.go("Workflows")
            check("Workflows", dashboard)
            dashboard.link("show").click()
            dashboard.says("Watcher", "Clients")
            check("show", dashboard)
            dashboard.go("Change")
            # What runs comes into the field when it has been read, over what somebody has written by then.
            dashboard.until(
                lambda: "workflow show" in str(dashboard.field("Configuration").get_property("value")), "text"
            )
            dashboard.write("workflow show {\n rtmp_receive rtmp_app=live stream_key=other port=0\n}\nworkflow")
            dashboard.says("Line 4")
            dashboard.write("workflow show {\n rtmp_receive rtmp_app=live stream_key=other port=0\n}\n")
            dashboard.button("Plan").click()
            dashboard.says("disconnects", "Plan")
            check("Change", dashboard)
            dashboard.go("Timeline")
            check("Timeline", dashboard)

    await by_hand(look)


def check(place: str, dashboard: Page) -> None:
    assert dashboard.audit() == [], place
    assert not dashboard.is_wider_than_the_screen(), place


PIXELS = """(() => {
  const video = document.querySelector(".picture video");
  if (!video || video.readyState < 2) return false;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [32, 18];
  const ink = canvas.getContext("2d");
  ink.drawImage(video, 0, 0, 32, 18);
  (window.pictures ??= new Set()).add(String(ink.getImageData(0, 0, 32, 18).data));
  return window.pictures.size >= 3;
})()"""
"""Whether the preview has shown three pictures of different pixels to who has looked now and then."""


@pytest.mark.parametrize("name", EACH)
async def test_each_browser_signs_in_shows_a_stream_and_plans(
    launch: Launch, crew: Crew, show: Recording, tmp_path: Path, name: str
) -> None:
    program = await launch(SHOW, settings=SETTINGS)
    await crew.publish(show, program.url("tonight"))
    async with BROWSERS[name](crew.nursery, tmp_path / "profile") as driven:
        await driven.go(f"{program.api}/ui")
        await driven.shows("document.querySelector('#token') !== null")
        await driven.evaluate(f"(document.querySelector('#token').value = {TOKEN!r})")
        await driven.evaluate("(document.querySelector('form').requestSubmit(), true)")
        await driven.shows("document.querySelector('.card')?.innerText.includes('tonight')")
        await driven.evaluate("document.querySelector('button.picture').click()")
        await driven.shows(PIXELS)
        assert await driven.evaluate("[...document.querySelectorAll('video')].map((video) => video.muted)") == [True]
        await driven.evaluate("(location.hash = '#/change')")
        await driven.shows("document.querySelector('#configuration')?.value.includes('workflow show')")
        # As one: the page writes its own text into the field again whenever it is drawn, as long as it knows no other.
        await driven.evaluate(
            f"(field => (field.setRangeText({MORE!r}), field.dispatchEvent(new Event('input'))))"
            "(document.querySelector('#configuration'))"
        )
        await driven.evaluate("document.querySelector('.buttons .primary').click()")
        await driven.shows("document.querySelector('.sentence')?.innerText === 'workflows: 1 new; disconnects nobody'")
        problems = await driven.evaluate("window.problems")
        assert [each for each in problems if each.startswith("securitypolicy")] == []
