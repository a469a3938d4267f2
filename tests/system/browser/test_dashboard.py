"""The dashboard as people use it, on what `aq demo` leaves and on a warehouse full of trouble."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import random
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, ViewportSize, expect

from aq_resources.publication.manifest import manifest_key
from aq_resources.services import Services
from aq_serving.app import create_app
from aq_serving.settings import ApiSettings
from tests.conftest import ROOT
from tests.patience import PATIENCE_S
from tests.system.browser.conftest import screenshot_folder
from tests.system.browser.troubled import NOW, in_thread, troubled_server
from tests.system.integration.harness import Installation
from tests.system.platform.conftest import STATIONS
from tests.system.running import free_port, wait_until

DESKTOP: ViewportSize = {"width": 1280, "height": 860}
PHONE: ViewportSize = {"width": 390, "height": 844}
TALL: ViewportSize = {"width": 1280, "height": 1180}
SERIOUS = {"serious", "critical"}
STATION = f"/station?network=airqino&station_id={STATIONS[0]}"
PATHS = (
    "/",
    STATION,
    f"/compare?s=airqino:{STATIONS[0]}&s=airqino:{STATIONS[1]}",
    "/networks",
    "/about",
    "/docs",
)
MOST_BYTES = 1_500_000
TILE = "dashboard/src/icon.svg"

# The positions of what can be pressed on the map, which is a picture to everyone else.
MARKS = """() => document.querySelector("canvas").marks.map(
  ({x, y, station, cluster}) => ({x, y, station: station && station.station_id, cluster}))"""
FRAMES = """async () => {
  const canvas = document.querySelector("canvas"), times = [];
  canvas.setPointerCapture = () => {};
  const send = (name, x) => canvas.dispatchEvent(
    new PointerEvent(name, {clientX: x, clientY: 300, pointerId: 1, bubbles: true}));
  send("pointerdown", 300);
  let last = performance.now();
  for (let step = 1; step <= 30; step++) {
    send("pointermove", 300 + 4 * step);
    await new Promise(requestAnimationFrame);
    times.push(performance.now() - last);
    last = performance.now();
  }
  send("pointerup", 420);
  return times.sort((a, b) => a - b);
}"""
LOADED = """() => {
  const [page] = performance.getEntriesByType("navigation");
  const all = performance.getEntriesByType("resource");
  const sum = (of) => of.reduce((total, one) => total + one.transferSize, 0);
  return {ready: Math.round(page.domContentLoadedEventEnd), requests: all.length + 1,
    script: sum(all.filter((one) => one.name.endsWith(".js"))), all: sum(all) + page.transferSize};
}"""


@dataclass
class Visit:
    """A page of a browser, with what it asked for and complained of."""

    page: Page
    url: str
    hosts: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        self.page.goto(f"{self.url}{path}")
        self.settle()

    def settle(self) -> None:
        """Until nothing loads."""
        expect(self.page.locator(".waiting")).to_have_count(0)
        expect(self.page.locator("h1").first).to_be_attached()

    def picture(self, name: str) -> None:
        self.page.screenshot(path=screenshot_folder() / f"dashboard-{name}.png")

    def faults(self) -> list[str]:
        """Serious and critical faults that axe finds."""
        found = Axe().run(self.page).response["violations"]
        return [
            f"{fault['id']}: {[node['html'][:150] for node in fault['nodes'][:3]]}"
            for fault in found
            if fault["impact"] in SERIOUS
        ]


@contextlib.contextmanager
def visit(browser: Browser, url: str, size: ViewportSize, **options: Any) -> Iterator[Visit]:
    """A new visitor; what reaches beyond this machine or breaks the policy fails the test."""
    wanted = {"locale": "en-GB", "timezone_id": "UTC", **options}
    with browser.new_context(viewport=size, **wanted) as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        visitor = Visit(page, url)
        page.on("request", lambda request: visitor.hosts.add(str(urlsplit(request.url).hostname)))
        page.on("pageerror", lambda error: visitor.complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                visitor.complaints.append(message.text)
                if message.type == "error" and "Content Security Policy" in message.text
                else None
            ),
        )
        yield visitor
        assert visitor.hosts == {"127.0.0.1"}
        assert visitor.complaints == []


@pytest.fixture(scope="module")
def served(browser: Browser, demo: Installation) -> Iterator[str]:
    """`aq serve` on what `aq demo` left."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = demo.start("serve", "--port", str(port))

    def ready() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{url}/readyz", timeout=60, trust_env=False).status_code == 200
        assert process.poll() is None
        return False

    try:
        wait_until(ready, pause=0.1)
        yield url
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def troubled(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with troubled_server(tmp_path_factory.mktemp("troubled")) as url:
        yield url


def publish_again(manifest: Path) -> None:
    """The same files under a manifest of other bytes."""
    new = manifest.with_suffix(".new")
    new.write_bytes(manifest.read_bytes() + b"\n")
    new.replace(manifest)


def rows(url: str, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{url}{path}", timeout=60, trust_env=False).json()[
        "data"
    ]
    return found


def test_from_the_map_to_a_file(browser: Browser, served: str) -> None:
    with visit(browser, served, DESKTOP) as here:
        page = here.page
        here.open("/")
        print(json.dumps({"page": "map", **page.evaluate(LOADED)}))
        assert page.evaluate(LOADED)["all"] < MOST_BYTES
        # Whoever cannot see the map has the list.
        expect(page.get_by_role("link", name=re.compile("SMART188"))).to_be_visible()
        while not [mark for mark in page.evaluate(MARKS) if mark["station"] == STATIONS[0]]:
            cluster = next(mark for mark in page.evaluate(MARKS) if mark["cluster"] is not None)
            page.locator("canvas").click(position={"x": cluster["x"], "y": cluster["y"]})
        mark = next(mark for mark in page.evaluate(MARKS) if mark["station"] == STATIONS[0])
        page.get_by_role("radio", name="In 1 hour").check()
        page.locator("canvas").click(position={"x": mark["x"], "y": mark["y"]})
        card = page.locator(".map-card")
        expect(card.get_by_role("heading", name="SMART188")).to_be_visible()
        expect(card).to_contain_text("forecast")
        here.picture("map")
        card.get_by_role("link", name="Open").click()
        here.settle()
        expect(page.get_by_role("heading", name="SMART188", level=1)).to_be_visible()

        # The forecast is the API's.
        asked = f"/v1/latest?station_id={STATIONS[0]}&parameter=pm25"
        [newest] = rows(served, asked)
        listed = page.locator(".forecast li")
        expect(listed).to_have_count(2)
        shown = [
            float(text) for text in re.findall(r": ([\d.]+) µg", " ".join(listed.all_inner_texts()))
        ]
        expected = [newest["forecast_1_value"], newest["forecast_2_value"]]
        assert shown == pytest.approx(expected, rel=0.01)
        page.get_by_role("radio", name="2 days").check()
        here.settle()
        here.page.set_viewport_size(TALL)
        here.picture("station")
        here.page.set_viewport_size(DESKTOP)

        # The chart is read by keys.
        chart = page.get_by_role("slider")
        chart.focus()
        at_the_end = chart.get_attribute("aria-valuetext")
        assert at_the_end
        assert "forecast" in at_the_end
        for _ in range(3):
            chart.press("ArrowLeft")
        assert "µg/m³" in str(chart.get_attribute("aria-valuetext"))
        assert chart.get_attribute("aria-valuetext") != at_the_end

        with page.expect_download() as downloading:
            page.get_by_role("link", name="Hourly readings (CSV)").click()
        text = Path(downloading.value.path()).read_text("utf-8")
        lines = list(csv.DictReader(io.StringIO(text)))
        assert {line["station_id"] for line in lines} == {STATIONS[0]}
        assert {line["parameter"] for line in lines} == {"pm25"}
        assert len(lines) > 24

        page.get_by_label("Language").select_option("fr")
        here.settle()
        expect(page.locator("html")).to_have_attribute("lang", "fr")
        expect(
            page.get_by_role("heading", name="Prévision des deux prochaines heures")
        ).to_be_visible()
        page.get_by_label("Thème").select_option("dark")
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert sum(int(part) for part in re.findall(r"\d+", dark)) < 150
        here.picture("station-dark")
        page.emulate_media(media="print")
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == "rgb(255, 255, 255)"
        page.emulate_media(media="screen")
        # What was chosen stays.
        here.open(STATION)
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        expect(page.locator("html")).to_have_attribute("lang", "fr")


def test_two_stations_beside_each_other(browser: Browser, served: str, demo: Installation) -> None:
    with visit(browser, served, DESKTOP, locale="nl-NL") as here:
        here.page.clock.install()
        here.open(STATION)
        here.page.get_by_role("link", name="Met andere vergelijken").click()
        here.settle()
        here.page.get_by_label("Station toevoegen").select_option(f"airqino:{STATIONS[1]}")
        here.settle()
        expect(here.page.locator(".chosen li")).to_have_count(2)
        expect(here.page.locator(".chart path.line")).to_have_count(2)
        expect(here.page.get_by_role("columnheader", name="SMART189")).to_be_visible()
        here.picture("compare")

        # The server says that there is news, and the page reads again without a timer.
        asked: list[str] = []
        here.page.clock.pause_at(datetime.now(UTC) + timedelta(minutes=1))
        here.page.on("request", lambda request: asked.append(request.url))
        manifest = demo.home / "objects" / manifest_key()
        while not any("/v1/overview" in url for url in asked):
            publish_again(manifest)
            here.page.clock.run_for(2500)
            here.page.wait_for_timeout(1000)


@pytest.mark.parametrize(
    ("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone"]
)
def test_every_page_fits_and_has_no_serious_fault(
    browser: Browser, served: str, size: ViewportSize, scheme: str
) -> None:
    faults: dict[str, list[str]] = {}
    with visit(browser, served, size, color_scheme=scheme) as here:
        for path in PATHS:
            here.open(path)
            faults[path] = here.faults()
            wide = here.page.evaluate("document.documentElement.scrollWidth")
            assert wide <= size["width"], path
            if size is PHONE and path in PATHS[:2]:
                here.picture(f"phone-{PATHS.index(path)}")
        # What would be found is found.
        here.page.evaluate("document.querySelector('main').append(new Image())")
        assert any("image-alt" in fault for fault in here.faults())
    assert not any(faults.values()), json.dumps(faults, indent=1)


def test_what_is_wrong_is_said_in_words(browser: Browser, troubled: str) -> None:
    with visit(browser, troubled, DESKTOP, color_scheme="light") as here:
        page = here.page
        here.open("/")
        expect(page.locator(".list-side")).to_contain_text("The network openaq is down")
        listed = page.locator(".stations")
        expect(listed).to_contain_text("Silent: nothing has come since Sun 31 Mar, 09:00")
        expect(listed).to_contain_text("failed quality tests (flat line)")

        here.open("/station?network=airqino&station_id=silent")
        now = page.locator(".card-now")
        expect(now).to_contain_text("Silent: nothing has come since")
        expect(now).not_to_contain_text("µg/m³")
        expect(page.locator(".notice-warn").first).to_contain_text("is not shown as now")
        expect(page.locator(".cards")).to_contain_text("No forecast has been made")
        assert page.locator(".cards .badge-none").count() == 3

        here.open("/station?network=airqino&station_id=dead")
        expect(page.locator(".cards")).to_contain_text("Sensor flagged")
        expect(page.locator(".forecast")).to_contain_text("No forecast: the sensor is flagged.")
        assert page.locator(".chart .mark-suspect").count() > 24
        here.picture("dead-sensor")

        here.open("/station?network=airqino&station_id=holes")
        # An hour that never came is a gap in the line, and one in the list.
        page.get_by_text("Gaps and rejected hours").click()
        expect(
            page.get_by_role("row", name=re.compile("Sun 31 Mar, 12:00 – 13:00"))
        ).to_be_visible()
        expect(page.locator(".forecast")).to_contain_text("No forecast has been made")

        here.open("/station?network=irceline&station_id=spring")
        expect(page.locator("article")).to_contain_text(
            "The clocks changed on Sun 31 March: that day has 23 hours."
        )
        # Half past ten in the evening there, not half past eight.
        expect(page.locator(".station-head")).to_contain_text("local time 22:30 (Europe/Brussels)")
        expect(page.locator(".card-now")).to_contain_text("measured 21:00–22:00")

        here.open("/networks")
        down = page.get_by_role("region", name="openaq")
        expect(down.locator(".state")).to_have_text("down")
        here.open("/station?network=airqino&station_id=nothing")
        expect(page.get_by_role("heading", name="There is no such station")).to_be_visible()


def test_a_number_leads_back_to_its_answer(browser: Browser, troubled: str) -> None:
    explained = {
        "value": 20.0,
        "unit": "µg/m³",
        "value_native": 0.02,
        "unit_native": "mg/m³",
        "conversion": {"scale": 1000.0, "offset": 0.0, "reference_celsius": None},
        "tests": [{"test": "spike", "flag": "suspect", "observed": 40.0, "limit": 30.0}],
        "raw_pulls": [
            {
                "key": "irceline/raw_pulls/date=2024-03-31/1.jsonl.zst",
                "line": 3,
                "sha256": "ab" * 32,
                "received": "2024-03-31T20:05:00Z",
            }
        ],
    }

    def explain(route: Route) -> None:
        route.fulfill(json=explained)

    with visit(browser, troubled, DESKTOP) as here:
        here.page.route("**/v1/explain/irceline/spring/pm25/**", explain)
        here.open("/station?network=irceline&station_id=spring")
        here.page.get_by_text("Show every step").click()
        steps = here.page.locator(".steps")
        expect(steps).to_contain_text("date=2024-03-31/1.jsonl.zst")
        expect(steps).to_contain_text("0.02 mg/m³ × 1,000 = 20 µg/m³")
        expect(steps).to_contain_text("spike: suspect (40 / 30)")
        # Where the server does not tell, the command is named.
        here.page.unroute("**/v1/explain/irceline/spring/pm25/**")
        here.page.reload()
        here.page.get_by_text("Show every step").click()
        command = "aq explain irceline spring pm25 2024-03-31T19:00Z"
        expect(here.page.get_by_text(command)).to_be_visible()


def test_a_server_that_stops_answering_makes_the_page_old(browser: Browser, troubled: str) -> None:
    with visit(browser, troubled, DESKTOP) as here:
        here.page.clock.install(time=NOW)
        here.open("/")
        here.page.route("**/v1/**", lambda route: route.abort())
        here.page.clock.fast_forward("20:00")
        expect(here.page.get_by_role("alert").first).to_contain_text("not of now")


def test_tiles_that_the_settings_name_are_loaded(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AQ_HOME", str(tmp_path))
    monkeypatch.setenv("AQ_API_TILES_URL", "http://127.0.0.1:9/{z}/{x}/{y}.png")
    monkeypatch.setenv("AQ_API_TILES_ATTRIBUTION", "© Makers of <tiles>")
    asked: list[str] = []

    def tile(route: Route) -> None:
        asked.append(urlsplit(route.request.url).path)
        route.fulfill(body=(ROOT / TILE).read_bytes(), content_type="image/svg+xml")

    application = create_app(Services.from_environment(), ApiSettings())
    with in_thread(application) as url, visit(browser, url, DESKTOP) as here:
        here.page.route("http://127.0.0.1:9/**", tile)
        # There is no warehouse: the map alone has something to show.
        here.page.goto(f"{url}/")
        expect(here.page.locator(".source")).to_contain_text("© Makers of <tiles>")
        wait_until(lambda: here.page.evaluate("1") and asked, pause=0.05)
        before = len(asked)
        for _ in range(3):
            here.page.get_by_role("button", name="Zoom in").click()
        wait_until(lambda: here.page.evaluate("1") and len(asked) > before, pause=0.05)
    assert all(re.fullmatch(r"/\d+/\d+/\d+\.png", path) for path in asked)


@pytest.mark.parametrize("count", [1_000, 10_000])
def test_many_stations_are_clustered(browser: Browser, troubled: str, count: int) -> None:
    [like] = [row for row in rows(troubled, "/v1/overview") if row["station_id"] == "spring"]
    chance = random.Random(count)
    stations = [
        {
            **like,
            "station_id": f"s{n}",
            "name": f"Station {n}",
            "latitude": chance.uniform(36, 60),
            "longitude": chance.uniform(-10, 30),
            "rank_0": chance.choice([1, 2, 3, 4, 5, 6, None]),
        }
        for n in range(count)
    ]
    body = json.dumps(
        {"data": stations, "next": None, "now": f"{NOW:%Y-%m-%dT%H:%M:%SZ}", "attribution": []}
    )

    def answer(route: Route) -> None:
        route.fulfill(body=body, content_type="application/json")

    with visit(browser, troubled, DESKTOP) as here:
        here.page.route("**/v1/overview", answer)
        here.open("/")
        expect(here.page.get_by_text(f"50 of {count} stations")).to_be_visible()
        times = here.page.evaluate(FRAMES)
        marks = here.page.evaluate(MARKS)
        assert 0 < len(marks) < 500
        assert [mark for mark in marks if mark["cluster"] is not None]
        middle, worst = times[len(times) // 2], times[-1]
        print(f"{count} stations, {len(marks)} marks: {middle:.0f} ms a frame, {worst:.0f} at most")
        if count == 10_000:
            here.picture("ten-thousand")
