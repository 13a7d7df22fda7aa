"""The dashboard in a real browser, by what a person sees: labels, places, buttons and regions. For threads of tests."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from attrs import frozen
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException, TimeoutException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService, Firefox, FirefoxOptions, FirefoxService
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.support.browsers import PLAIN_ADDRESS_BAR

WAIT_SECONDS = 30
"""After which a wait is given up: far more than anything here takes, also on a busy machine."""

AXE = Path(__file__).parent / "vendor" / "axe.min.js"

T = TypeVar("T")

PROGRAMS = {"chromium": ("chromium", "chromedriver"), "firefox": ("firefox-esr", "geckodriver")}


def missing(browser: str) -> list[str]:
    """Which programs of a browser are not installed."""
    return [name for name in PROGRAMS[browser] if shutil.which(name) is None]


@contextmanager
def open_browser(browser: str, width: int = 1280, height: int = 900, *, dark: bool = False) -> Iterator[WebDriver]:
    """A browser without a window, with nothing from before."""
    driver = _chromium(width, height, dark=dark) if browser == "chromium" else _firefox(width, height)
    try:
        yield driver
    finally:
        driver.quit()


def _chromium(width: int, height: int, *, dark: bool) -> WebDriver:
    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    window = f"--window-size={width},{height}"
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", PLAIN_ADDRESS_BAR, window):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=ChromeService(str(shutil.which("chromedriver"))))
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    return driver


def _firefox(width: int, height: int) -> WebDriver:
    options = FirefoxOptions()
    options.binary_location = str(shutil.which("firefox-esr"))
    for argument in ("-headless", f"--width={width}", f"--height={height}"):
        options.add_argument(argument)
    return Firefox(options=options, service=FirefoxService(str(shutil.which("geckodriver"))))


@frozen
class Page:
    """The dashboard of the server whose API is at the URL `api`."""

    driver: WebDriver
    api: str

    def open(self) -> "Page":
        """As somebody who types the address."""
        self.driver.get(f"{self.api}/ui")
        return self

    def sign_in(self, token: str) -> None:
        """With the field that is labelled so."""
        self.field("Token").send_keys(token)
        self.button("Sign in").click()
        self.link("Overview")

    def until(self, look: Callable[[], T], what: str) -> T:
        """What `look` finds as soon as it is true."""

        def looked(_: WebDriver) -> Any:
            return look()

        waiting = WebDriverWait(
            self.driver, WAIT_SECONDS, ignored_exceptions=[NoSuchElementException, StaleElementReferenceException]
        )
        try:
            found: T = waiting.until(looked)
        except TimeoutException:
            raise AssertionError(f"no {what}; the page says\n{self.text}\n{self.console()}") from None
        return found

    def console(self) -> list[str]:
        """What the browser complains of, where it tells."""
        if not isinstance(self.driver, Chrome):
            return []
        entries: list[dict[str, Any]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]  # selenium's
        return [str(entry["message"]) for entry in entries]

    def find(self, path: str, what: str) -> WebElement:
        """The one element at an XPath."""
        return self.until(lambda: self.driver.find_element(By.XPATH, path), what)

    def field(self, label: str) -> WebElement:
        """The field with that label."""
        found = self.find(f"//label[normalize-space()='{label}']", f"label {label}")
        return self.driver.find_element(By.ID, str(found.get_attribute("for")))

    def button(self, name: str) -> WebElement:
        """The button of that name, once it can be pressed."""
        button = self.find(f"//button[normalize-space()='{name}' or @aria-label='{name}']", f"button {name}")
        self.until(button.is_enabled, f"button {name} that is enabled")
        return button

    def link(self, name: str) -> WebElement:
        """The link of that name."""
        return self.find(f"//a[normalize-space()='{name}']", f"link {name}")

    def go(self, place: str) -> None:
        """To one of the places."""
        self.link(place).click()
        self.find(f"//h1[normalize-space()='{place}']", f"place {place}")

    def region(self, name: str) -> str:
        """What is written in a region."""
        return self.find(f"//section[h2[normalize-space()='{name}']]", f"region {name}").text

    def says(self, text: str, region: str | None = None) -> None:
        """Wait until the page, or one of its regions, says so."""
        self.until(lambda: text in (self.text if region is None else self.region(region)), f"{text!r}")

    @property
    def text(self) -> str:
        """All that is to be read."""
        return self.driver.find_element(By.TAG_NAME, "body").text

    def write(self, text: str) -> None:
        """The text of the editor, in place of what is there."""
        field = self.field("Configuration")
        self.until(lambda: not field.get_property("readOnly"), "editor that takes a text")
        fill(field, text)

    def scripts_that_ran(self) -> Any:
        """What hostile texts would have set."""
        return self.driver.execute_script("return window.hacked ?? null")

    def audit(self) -> list[str]:
        """What axe has to say against the page as it is."""
        # The page's own policy forbids foreign scripts; the driver's are not the page's.
        self.driver.execute_script(AXE.read_text("utf-8"))
        found = self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1]; axe.run(document, {resultTypes: ['violations']}).then(done)"
        )
        return [
            f"{each['id']}: {each['help']}: {[node['html'] for node in each['nodes']]}" for each in found["violations"]
        ]

    def is_wider_than_the_screen(self) -> bool:
        """Whether somebody would have to scroll sideways."""
        return bool(
            self.driver.execute_script(
                "return document.documentElement.scrollWidth > document.documentElement.clientWidth"
            )
        )


def fill(field: WebElement, *keys: str) -> None:
    """Type over what is in a field, as somebody does.

    A driver's own `clear` is no input that a page hears of: the page may put back what was there in between.
    """
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(*keys)
