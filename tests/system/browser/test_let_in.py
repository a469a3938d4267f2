"""Who may tell the UI to change something: its own pages, and no page of another site."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import ROOT
from tests.patience import PATIENCE_S
from tests.system.browser.conftest import Ui
from tests.system.integration.harness import Installation
from tests.system.platform.conftest import STATIONS, days_ago
from tests.system.running import Platform, free_port, up, wait_until

NAME = "air.example"
LOGIN, PASSWORD = "operator", "open sesame"

# Every way in which a page can send something to another site without being asked for leave, each
# with a mutation that leaves its own name behind.
ATTACK = """async (ui) => {
  const mutation = way => `mutation { setConcurrencyLimit(concurrencyKey: "${way}", limit: 7) }`
  const query = way => `${ui}/graphql?query=${encodeURIComponent(mutation(way))}`
  const body = way => JSON.stringify({query: mutation(way)})
  const post = (way, options) =>
    fetch(`${ui}/graphql`, {method: "POST", body: body(way), ...options})
  const element = (tag, attributes) => new Promise(done => {
    const made = Object.assign(document.createElement(tag), attributes)
    made.onload = made.onerror = () => done(made)
    document.body.append(made)
  })
  const form = async (way, action, enctype, name, value) => {
    await element("iframe", {name: way, srcdoc: "here"})
    const sent = new Promise(done => document.getElementsByName(way)[0].onload = done)
    const made = Object.assign(document.createElement("form"),
      {action, enctype, method: "POST", target: way})
    made.append(Object.assign(document.createElement("input"), {name, value}))
    document.body.append(made)
    made.submit()
    await sent
  }
  const plain = {headers: {"Content-Type": "text/plain"}, mode: "no-cors", credentials: "include"}
  const socket = new Promise(done => {
    const opened = new WebSocket(`${ui.replace("http", "ws")}/graphql`, "graphql-ws")
    opened.onopen = () => done("opened")
    opened.onerror = () => done("refused")
  })
  await Promise.allSettled([
    element("img", {src: query("image")}),
    element("script", {src: query("script")}),
    fetch(query("get"), {mode: "no-cors", credentials: "include"}),
    form("form", query("form"), "application/x-www-form-urlencoded", "a", "b"),
    form("text-form", query("text-form"), "text/plain", '{"a": "', '"}'),
    post("text", plain),
    post("disguised", {...plain, headers: {"Content-Type": "text/plain; application/json"}}),
    post("json", {headers: {"Content-Type": "application/json"}}),
    fetch(`${ui}/report_asset_materialization/stolen`, {method: "POST", mode: "no-cors"}),
    element("iframe", {name: "framed", src: `${ui}/overview`}),
  ])
  return await socket
}"""

# A websocket as the UI opens it for what it follows.
SOCKET = """() => new Promise(done => {
  const socket = new WebSocket(`${location.origin.replace("http", "ws")}/graphql`, "graphql-ws")
  socket.onopen = () => socket.send(JSON.stringify({type: "connection_init"}))
  socket.onmessage = message => done(JSON.parse(message.data).type)
  socket.onerror = () => done("refused")
})"""

CHANGED = """{ instance { concurrencyLimits { concurrencyKey } }
  assetsOrError { ... on AssetConnection { nodes { key { path } } } } }"""
NAMES_OF_NETWORKS = {"airqino"}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """`aq up` that a proxy may reach by its name; nothing runs in it."""
    installation = (
        Installation(tmp_path_factory.mktemp("let-in"))
        .with_networks(airqino={"start_date": days_ago(3), "stations": STATIONS})
        .with_settings(AQ_SENSORS="false", AQ_UI_HOSTS=NAME)
    )
    with up(installation, "--sandbox") as platform:
        yield platform


@pytest.fixture
def foreign_page(ui: Ui) -> Iterator[Page]:
    """A page of another site, open in the browser of somebody who reaches the UI."""

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><body>Nice weather")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        ui.page.goto(f"http://evil.example:{server.server_port}/")
        yield ui.page
        server.shutdown()


def changed(platform: Platform) -> set[str]:
    """What an attack left behind."""
    found = platform.ask(CHANGED)
    limits = {entry["concurrencyKey"] for entry in found["instance"]["concurrencyLimits"]}
    assets = {node["key"]["path"][-1] for node in found["assetsOrError"]["nodes"]}
    return limits - NAMES_OF_NETWORKS | assets & {"stolen"}


def test_a_page_of_another_site_changes_nothing(ui: Ui, foreign_page: Page) -> None:
    here = f"http://127.0.0.1:{ui.platform.port}"
    refused: list[int] = []
    foreign_page.on(
        "response", lambda r: refused.append(r.status) if r.url.startswith(here) else None
    )
    websocket = foreign_page.evaluate(ATTACK, here)
    assert (changed(ui.platform), websocket) == (set(), "refused")

    def reported() -> bool:
        # The browser reports its answers when it comes to it; waiting lets it.
        foreign_page.wait_for_timeout(50)
        return {403, 405} <= set(refused)

    wait_until(reported, pause=0)
    # Nor is the UI shown within the page, where a click could be led astray.
    framed = foreign_page.frame("framed")
    assert framed is not None
    assert not framed.url.startswith(here)


def test_a_name_that_was_made_to_point_here_is_refused(ui: Ui) -> None:
    """DNS rebinding: to the browser it is one site, of which this server knows nothing."""
    ui.page.route("**/attack", lambda route: route.fulfill(content_type="text/html", body="<body>"))
    here = f"http://evil.example:{ui.platform.port}"
    ui.page.goto(f"{here}/attack")
    websocket = ui.page.evaluate(ATTACK, here)
    assert (changed(ui.platform), websocket) == (set(), "refused")
    answer = ui.page.goto(f"{here}/overview")
    assert answer is not None
    assert answer.status == 421
    expect(ui.page.get_by_text("add it to AQ_UI_HOSTS")).to_be_visible()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_ui_itself_reads_changes_and_follows(ui: Ui, host: str) -> None:
    ui.page.goto(f"http://{host}:{ui.platform.port}/automation")
    assert ui.page.evaluate(SOCKET) == "connection_ack"
    switch_a_sensor(ui.page)


def switch_a_sensor(page: Page) -> None:
    """On and off again."""
    page.get_by_role("link", name="airqino_forecasts").click()
    switch = page.get_by_role("checkbox")
    label = page.locator("label", has=switch)
    expect(switch).not_to_be_checked()
    label.click()
    expect(switch).to_be_checked()
    label.click()
    expect(switch).not_to_be_checked()


@pytest.fixture
def proxy(platform: Platform, tmp_path: Path) -> Iterator[str]:
    """Address of the documented proxy before the UI, as Debian's package runs it."""
    caddy = shutil.which("caddy")
    if caddy is None:
        pytest.skip("no proxy here: caddy is not on PATH (Debian: apt install caddy)")
    made = subprocess.run(
        [caddy, "hash-password", "--plaintext", PASSWORD],
        capture_output=True,
        text=True,
        check=True,
    )
    port = free_port()
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "AQ_UI_NAME": f"http://{NAME}:{port}",
        "AQ_UI_LOGIN": LOGIN,
        "AQ_UI_PASSWORD_HASH": made.stdout.strip(),
        "AQ_UI_PORT": str(platform.port),
    }
    with subprocess.Popen(
        [caddy, "run", "--config", str(ROOT / "deploy" / "Caddyfile"), "--adapter", "caddyfile"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:

        def listening() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return ask(f"http://127.0.0.1:{port}").status_code == 401
            assert process.poll() is None
            return False

        try:
            wait_until(listening, pause=0.05)
            yield f"http://{NAME}:{port}"
        finally:
            process.terminate()
            process.wait()


def ask(url: str, **headers: str) -> httpx.Response:
    """What a program gets that says the proxy's name."""
    port = url.rpartition(":")[2]
    return httpx.get(
        f"http://127.0.0.1:{port}/server_info",
        headers={"Host": f"{NAME}:{port}", **headers},
        timeout=PATIENCE_S,
        trust_env=False,
    )


def test_behind_the_documented_proxy_a_login_opens_it(
    browser: Browser, platform: Platform, proxy: str
) -> None:
    assert ask(proxy).status_code == 401
    with browser.new_context(
        http_credentials={"username": LOGIN, "password": PASSWORD}, timezone_id="UTC"
    ) as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        page.goto(f"{proxy}/automation")
        assert page.evaluate(SOCKET) == "connection_ack"
        switch_a_sensor(page)
        # The browser adds the login to what another site's page sends: it changes nothing.
        page.goto(f"http://127.0.0.1:{platform.port}/favicon.png")
        websocket = page.evaluate(ATTACK, proxy)
        assert (changed(platform), websocket) == (set(), "refused")
