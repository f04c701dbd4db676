"""Headless Chromium through chromedriver: `open_browser(width, height)` as a context manager.

Rules: a fresh profile each time, no request but ours, certificates of a test authority are accepted.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

CHROMEDRIVER = Path("/usr/bin/chromedriver")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--ignore-certificate-errors",
    "--mute-audio",
)
WAIT_S = 15.0

Found = TypeVar("Found")


def missing() -> str:
    """Return why no browser can be driven here, "" when one can."""
    if not CHROMEDRIVER.exists():
        return f"{CHROMEDRIVER} is not installed"
    return "" if shutil.which("chromium") else "chromium is not installed"


class Browser:
    """One window, and the few words a test needs."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        self.driver.get(url)

    def all(self, css: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def one(self, css: str) -> WebElement:
        """Return the first visible element, waiting for it."""

        def visible() -> WebElement | None:
            try:
                return next((node for node in self.all(css) if node.is_displayed()), None)
            except StaleElementReferenceException:
                return None

        return self.wait(visible, css)

    def click(self, css: str) -> None:
        """Click the first visible element; once more when the live page has just exchanged it."""
        for last in (False, False, True):
            try:
                node = self.one(css)
                self.run("arguments[0].scrollIntoView({block: 'center'})", node)
                node.click()
                return
            except StaleElementReferenceException:
                if last:
                    raise

    def run(self, script: str, *values: object) -> object:
        return self.driver.execute_script(script, *values)

    def wait(self, look: Callable[[], Found | None], what: str, timeout_s: float = WAIT_S) -> Found:
        """Return what `look` finds, asking until it finds something."""
        found: Found = WebDriverWait(self.driver, timeout_s, poll_frequency=0.05).until(
            lambda _: look(), f"never seen: {what}"
        )
        return found

    def wait_text(self, css: str, text: str) -> None:
        """Wait until the element's text has `text`."""

        def there() -> bool | None:
            try:
                return any(text in (node.text or "") for node in self.all(css)) or None
            except StaleElementReferenceException:
                return None

        self.wait(there, f"{text!r} in {css}")

    def enter(self, link: str, officer: str) -> None:
        """Come in by the entry link."""
        self.open(link)
        self.one("#officer").send_keys(officer)
        self.click(".door button.primary")
        self.one("#incidents")

    def shot(self, path: Path, *, whole: bool = False) -> None:
        """Save a picture of the window, or of the whole page."""
        if whole:
            size = self.run("return [innerWidth, document.documentElement.scrollHeight]")
            assert isinstance(size, list)
            metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
            self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.save_screenshot(str(path))
        if whole:
            self.resize(size[0], 900)

    def resize(self, width: int, height: int) -> None:
        """Set the page's own size exactly; a window is never narrower than 500 px otherwise."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def scheme(self, scheme: str) -> None:
        """Prefer `dark` or `light`."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


@contextlib.contextmanager
def open_browser(width: int = 1280, height: int = 900) -> Iterator[Browser]:
    """Start Chromium and end it, whatever happens in between."""
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(CHROMEDRIVER)))
        try:
            browser = Browser(driver)
            browser.resize(width, height)
            yield browser
        finally:
            driver.quit()
