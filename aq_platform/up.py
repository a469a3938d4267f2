"""The Dagster UI, daemon, code server and the API as children of one command."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

import yaml
from rich.console import Console

from aq_platform import child
from aq_platform.code_server import PREPARE
from aq_platform.instance import prepare_home
from aq_platform.up_lock import only_one
from aq_resources.failures import PermanentFailure, SettingsError, TransientFailure
from aq_resources.logs import LogSettings
from aq_resources.metrics.settings import MetricsSettings
from aq_resources.network_settings import networks_path
from aq_resources.services import Services
from aq_serving.ingest.settings import IngestSettings, MqttSettings

_STOP_SECONDS = 20.0
# Between two looks whether a server is there.
_PAUSE = 0.1
# On a machine with much else to do a code server takes minutes.
_START_SECONDS = 600.0
_LOCATION = "air_quality"
_MODULE = "aq_platform.definitions"
_SOCKET = "code.sock"
_CODE_SERVER = "code server"
# What webservers import while the code server loads.
_IMPORTS = ["dagster_webserver.cli", "dagster_webserver.app"]

Children = dict[str, subprocess.Popen[bytes]]


@dataclass(frozen=True)
class Ports:
    """Where the servers listen.

    Attributes:
        ui: The UI.
        read_only: A second UI in which nothing can be changed; None for no such UI.
        api: The API; None for none.
    """

    ui: int
    read_only: int | None = None
    api: int | None = None

    @property
    def by_option(self) -> dict[str, int]:
        """Those that there are, by the option that changes them."""
        asked = {"--port": self.ui, "--read-only-port": self.read_only, "--api-port": self.api}
        return {option: port for option, port in asked.items() if port is not None}


def serve_platform(services: Services, host: str, ports: Ports, console: Console) -> int:
    """Run the servers until one ends or a signal comes.

    Args:
        services: Settings and networks.
        host: Address that they listen on.
        ports: Their ports.
        console: Where the addresses are printed.

    Returns:
        The exit code: 0 after a signal, 1 where a server ended by itself.

    Raises:
        SettingsError: another `aq up` runs on this home, a port is taken, or both are the same.
    """
    with only_one(services.settings.home, f"http://{host}:{ports.ui}"):
        return _serve_alone(services, host, ports, console)


def _serve_alone(services: Services, host: str, ports: Ports, console: Console) -> int:
    metrics = MetricsSettings()
    _refuse_taken_ports(host, ports, metrics)
    home = prepare_home(services.settings)
    url = f"http://{host}:{ports.ui}"
    stop = threading.Event()
    # Sockets allow short paths only, which AQ_HOME need not be.
    with tempfile.TemporaryDirectory(prefix="aq-") as folder, _on_signal(stop):
        children: Children = {}
        try:
            _announce(host, ports, metrics, console)
            env = _environment(services, home, url)
            for name, module in _devices().items():
                children[name] = child.start([module], env)
            commands = _commands(Path(folder), host, ports)
            if metrics.port is not None:
                commands["metrics"] = ["aq_platform.cli", "metrics"]
            children[_CODE_SERVER] = child.start(commands.pop(_CODE_SERVER), env)
            # What the UI waits for has the cores to itself until it is there.
            code = child.Gate()
            for name in [name for name in commands if "webserver" in name]:
                children[name] = child.start(commands.pop(name), env, code, _IMPORTS)
            _prepare_warehouse(services, console)
            if _await(partial(_listens, Path(folder) / _SOCKET), children, stop):
                code.open()
                if _await(partial(_answers, url), children, stop):
                    console.print(f"[green]Ready:[/] {url}  (Ctrl-C stops it)")
                for name, command in commands.items():
                    children[name] = child.start(command, env)
            return _watch(children, stop, console)
        finally:
            stop.set()
            _stop(children)


def _announce(host: str, ports: Ports, metrics: MetricsSettings, console: Console) -> None:
    console.print(f"Starting the Dagster UI at http://{host}:{ports.ui} …")
    if ports.read_only is not None:
        console.print(f"For looking only: http://{host}:{ports.read_only}")
    if ports.api is not None:
        console.print(f"The dashboard and the API: http://{host}:{ports.api}")
    if metrics.port is not None:
        console.print(f"Metrics at http://{metrics.host}:{metrics.port}/metrics")


def _devices() -> dict[str, str]:
    """The modules that take in what devices send, by name, as the settings say."""
    found = {}
    if IngestSettings().up:
        found["ingest"] = "aq_serving.ingest"
    if MqttSettings().url:
        found["MQTT bridge"] = "aq_serving.ingest.mqtt"
    return found


def _prepare_warehouse(services: Services, console: Console) -> None:
    """Let every table exist before someone asks; the UI starts without, and runs try again."""
    try:
        services.warehouse.prepare()
    except (TransientFailure, PermanentFailure) as failure:
        console.print(f"The warehouse is not ready: {failure.message}", markup=False)
    finally:
        services.warehouse.close()


def _refuse_taken_ports(host: str, ports: Ports, metrics: MetricsSettings) -> None:
    taken: dict[int, str] = {}
    for option, port in ports.by_option.items():
        if port in taken:
            raise SettingsError(f"{option} must differ from {taken[port]}: they are two servers.")
        taken[port] = option
        _refuse_taken_port(host, port, option)
    if metrics.port is not None:
        _refuse_taken_port(metrics.host, metrics.port, "AQ_METRICS_PORT")


def _refuse_taken_port(host: str, port: int, option: str) -> None:
    """Fail at once: another server there would be taken for ours."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SettingsError(
                f"Cannot listen on {host}:{port} ({error.strerror}). Stop what runs there, or "
                f"choose another port with {option}."
            ) from error


def _commands(folder: Path, host: str, ports: Ports) -> dict[str, list[str]]:
    """One code server for all: each would otherwise start, and restart, one of its own."""
    address = str(folder / _SOCKET)
    workspace = folder / "workspace.yaml"
    server = {"socket": address, "location_name": _LOCATION}
    workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
    code = ["-s", address, "-m", _MODULE, "--location-name", _LOCATION]
    webserver = ["aq_platform.webserver", "-h", host, "-w", str(workspace), "-p"]
    commands = {
        _CODE_SERVER: [
            "aq_platform.code_server",
            PREPARE,
            *code,
            "--use-python-environment-entry-point",
        ],
        "daemon": ["dagster._daemon", "run", "-w", str(workspace)],
        "webserver": [*webserver, str(ports.ui)],
    }
    if ports.read_only is not None:
        commands["read-only webserver"] = [*webserver, str(ports.read_only), "--read-only"]
    if ports.api is not None:
        commands["API"] = ["aq_serving.server", "--host", host, "--port", str(ports.api)]
    form = "json" if LogSettings().as_json else "colored"
    logs = ["--log-level", "warning", "--log-format", form]
    return {name: [*command, *logs] for name, command in commands.items()}


def _environment(services: Services, home: Path, url: str) -> dict[str, str]:
    """This process's, with paths that hold in any working folder and the UI's address."""
    settings = services.settings
    return {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "AQ_HOME": str(settings.home),
        "AQ_NETWORKS": str(networks_path(settings.networks).resolve()),
        "AQ_UI_URL": settings.ui_url or url,
    }


@contextmanager
def _on_signal(stop: threading.Event) -> Iterator[None]:
    def note(_signum: int, _frame: FrameType | None) -> None:
        stop.set()

    previous = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _watch(children: Children, stop: threading.Event, console: Console) -> int:
    while not stop.wait(0.5):
        for name, process in children.items():
            if process.poll() is not None:
                console.print(f"[red]The {name} ended by itself (exit {process.returncode}).[/]")
                return 1
    return 0


def _stop(children: Children) -> None:
    for process in reversed(children.values()):
        process.terminate()
    deadline = time.monotonic() + _STOP_SECONDS
    for process in children.values():
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.1, deadline - time.monotonic()))
        child.end_group(process)
        process.wait()


def _await(there: Callable[[], bool], children: Children, stop: threading.Event) -> bool:
    """Whether it came to be there before a signal, the end of a server, or `_START_SECONDS`."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and not stop.wait(_PAUSE):
        if any(process.poll() is not None for process in children.values()):
            return False
        if there():
            return True
    return False


def _listens(address: Path) -> bool:
    """Whether the code server does: the others log long errors where it does not."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(address)) == 0


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/server_info", timeout=30):  # noqa: S310
            return True
    except OSError:
        return False
