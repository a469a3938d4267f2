"""The Dagster UI and daemon as children of one command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from types import FrameType

from rich.console import Console

from aq_platform.instance import prepare_home
from aq_resources.failures import SettingsError
from aq_resources.network_settings import PROJECT_ROOT
from aq_resources.platform import Platform

_STOP_SECONDS = 20.0
_READY_SECONDS = 120.0


def serve_platform(platform: Platform, host: str, port: int, console: Console) -> int:
    """Run webserver and daemon until one ends or a signal comes; returns the exit code."""
    home = prepare_home(platform.settings)
    workspace = PROJECT_ROOT / "workspace.yaml"
    if not workspace.exists():
        raise SettingsError(
            f"{workspace} is missing: run aq from the project it was installed from."
        )
    # Relative settings mean the folder the user is in; the children run in the project's.
    environment = {**os.environ, "DAGSTER_HOME": str(home), "AQ_HOME": str(platform.settings.home)}
    commands = {
        "webserver": ["dagster_webserver", "-h", host, "-p", str(port)],
        "daemon": ["dagster._daemon", "run"],
    }
    stop = threading.Event()

    def on_signal(_signum: int, _frame: FrameType | None) -> None:
        stop.set()

    previous = {s: signal.signal(s, on_signal) for s in (signal.SIGINT, signal.SIGTERM)}
    children: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, (module, *arguments) in commands.items():
            children[name] = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    module,
                    *arguments,
                    "-w",
                    str(workspace),
                    "--log-level",
                    "warning",
                ],
                cwd=PROJECT_ROOT,
                env=environment,
                # Their own group: Ctrl-C reaches this process alone, which stops them in order.
                start_new_session=True,
            )
        url = f"http://{host}:{port}"
        console.print(f"Starting the Dagster UI at {url} …")
        _announce_when_ready(url, console, stop)
        while not stop.wait(0.5):
            for name, child in children.items():
                if child.poll() is not None:
                    console.print(f"[red]The {name} ended by itself (exit {child.returncode}).[/]")
                    return 1
        return 0
    finally:
        _stop(children)
        for number, handler in previous.items():
            signal.signal(number, handler)


def _stop(children: dict[str, subprocess.Popen[bytes]]) -> None:
    for child in children.values():
        child.terminate()
    deadline = time.monotonic() + _STOP_SECONDS
    for child in children.values():
        try:
            child.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _announce_when_ready(url: str, console: Console, stop: threading.Event) -> None:
    def wait() -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline and not stop.wait(0.5):
            try:
                with urllib.request.urlopen(f"{url}/server_info", timeout=2):  # noqa: S310
                    console.print(f"[green]Ready:[/] {url}  (Ctrl-C stops it)")
                    return
            except OSError:
                continue

    threading.Thread(target=wait, daemon=True).start()
