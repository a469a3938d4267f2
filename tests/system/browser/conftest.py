"""A real browser on a real platform, and the pictures it leaves for a person to look at."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Locator, Page, expect, sync_playwright

from tests.conftest import ROOT
from tests.patience import PATIENCE_S
from tests.system.integration.harness import Installation
from tests.system.platform.conftest import STATIONS, days_ago
from tests.system.running import Platform, up

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    # Names of other sites, which are this machine as well.
    "--host-resolver-rules=MAP *.example 127.0.0.1",
    # It would refuse some attacks itself; not every browser does.
    "--disable-features=LocalNetworkAccessChecks",
]
# What turns and fades is drawn sixty times a second, by the processor.
STILL = """
const still = new CSSStyleSheet();
const all = "*, *::before, *::after";
still.replaceSync(all + "{ animation: none !important; transition: none !important }");
document.adoptedStyleSheets = [still];
"""
GROUP = "/locations/air_quality/asset-groups/airqino"


def find_browser() -> str:
    """Chromium or Chrome of this machine. Without one, no test; CI must have one."""
    found = next(filter(None, map(shutil.which, NAMES)), None) or (MAC.exists() and str(MAC))
    if found:
        return found
    missing = f"no browser here: none of {', '.join(NAMES)} on PATH (Debian: apt install chromium)"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


def screenshot_folder() -> Path:
    folder = Path(os.environ.get("AQ_TEST_SCREENSHOTS") or ROOT / "build" / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@dataclass(frozen=True)
class Ui:
    """The Dagster UI in a page of the browser, and ways to use it that several tests share."""

    page: Page
    platform: Platform
    screenshots: Path

    def open(self, path: str) -> None:
        self.page.goto(f"http://127.0.0.1:{self.platform.port}{path}")

    def open_asset(self, name: str, view: str = "overview") -> None:
        self.open(f"/assets/airqino/{name}?view={view}")

    def open_graph(self) -> None:
        """The group's asset graph, its nodes filled."""
        # Nodes beyond the window's edge are not drawn.
        self.page.set_viewport_size({"width": 2400, "height": 2800})
        self.open(GROUP)
        expect(self.node("stations")).to_be_visible()
        expect(self.page.get_by_text("Loading...")).to_have_count(0)

    def node(self, asset: str) -> Locator:
        return self.page.get_by_text(asset, exact=True).first

    def launch(self, partitions: str, picture: str) -> str:
        """Choose partitions in the open dialog, launch, follow the toast; the address it leads to.

        The address ends with the id of the run or the backfill.
        """
        dialog = self.page.get_by_role("dialog")
        entry = dialog.get_by_role("textbox").first
        entry.fill(partitions)
        entry.press("Enter")
        launch = dialog.get_by_role("button", name=re.compile("^Launch"))
        expect(launch).to_be_enabled()
        self.picture(picture)
        launch.click()
        self.page.get_by_role("link", name="View", exact=True).click()
        self.page.wait_for_url(re.compile(r"/runs/.+"))
        return self.page.url.rpartition("/")[2]

    def picture(self, name: str) -> None:
        """The page as it is now, in the folder of screenshots."""
        self.page.screenshot(path=self.screenshots / f"{name}.png")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = find_browser()
    expect.set_options(timeout=PATIENCE_S * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def demo(once: Callable[[str, Callable[[Path], None]], Path]) -> Installation:
    """What `aq demo` leaves, once for all who look at it; every sensor is switched off."""

    def make(folder: Path) -> None:
        installed(folder).succeed("demo", "--days", "3")

    def installed(folder: Path) -> Installation:
        networks = {"airqino": {"start_date": days_ago(30), "stations": STATIONS}}
        return Installation(folder).with_networks(**networks).with_settings(AQ_SENSORS="false")

    return installed(once("browser-demo", make))


@pytest.fixture(scope="module")
def platform(browser: Browser, demo: Installation) -> Iterator[Platform]:
    """`aq up` on what `aq demo` left. Nothing starts without browser."""
    with up(demo, "--sandbox") as platform:
        yield platform


@pytest.fixture
def ui(browser: Browser, platform: Platform, request: pytest.FixtureRequest) -> Iterator[Ui]:
    folder = screenshot_folder()
    (folder / f"{failed(request.node)}.png").unlink(missing_ok=True)
    with browser.new_context(
        viewport={"width": 1600, "height": 1000}, timezone_id="UTC", locale="en-GB"
    ) as context:
        context.add_init_script(STILL)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        yield Ui(page, platform, folder)


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """A test that fails leaves a picture of where."""
    ui = getattr(item, "funcargs", {}).get("ui")
    if call.when == "call" and call.excinfo is not None and isinstance(ui, Ui):
        # A browser that is gone must not hide the failure itself.
        with contextlib.suppress(Error):
            ui.picture(failed(item))


def failed(item: pytest.Item) -> str:
    return f"failed-{item.name}"
