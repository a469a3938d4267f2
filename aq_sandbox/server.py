"""One server for all networks: the application, and two ways to run it.

Each network is a module of `aq_sandbox.networks` and keeps its natural paths.
"""

import logging
import pkgutil
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib import import_module
from typing import Any, Protocol, cast

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from aq_sandbox import networks
from aq_sandbox.config import SandboxConfig
from aq_sandbox.control import control_routes
from aq_sandbox.faults import Fault, FaultMiddleware, ServedRequest
from aq_sandbox.state import Sandbox

__all__ = [
    "RunningSandbox",
    "SandboxConfig",
    "create_app",
    "running_sandbox",
    "serve",
]


class _Network(Protocol):
    """What a network's module offers."""

    def routes(self, sandbox: Sandbox) -> list[BaseRoute]: ...

    def environment(self, base_url: str, config: SandboxConfig) -> dict[str, str]: ...


def _networks() -> list[_Network]:
    names = sorted(module.name for module in pkgutil.iter_modules(networks.__path__))
    return [cast("_Network", import_module(f"{networks.__name__}.{name}")) for name in names]


def create_app(config: SandboxConfig) -> Starlette:
    """The application; its state holds the `sandbox`."""
    sandbox = Sandbox(config)
    app = Starlette(
        routes=[
            control_routes(sandbox),
            *(route for network in _networks() for route in network.routes(sandbox)),
        ],
        middleware=[
            Middleware(
                FaultMiddleware,
                faults=sandbox.faults,
                requests=sandbox.requests,
                clock=sandbox.clock,
            )
        ],
    )
    app.state.sandbox = sandbox
    return app


def environment(base_url: str, sandbox: Sandbox) -> dict[str, str]:
    """Every network's settings that point the platform at a sandbox, and its clock if it runs."""
    settings: dict[str, str] = {}
    for network in _networks():
        settings |= network.environment(base_url, sandbox.config)
    if sandbox.config.speed is not None:
        settings["AQ_CLOCK"] = sandbox.clock.shared()
    return settings


class _Server(uvicorn.Server):
    """Says when it is ready, and lets go of waiting requests when it stops."""

    def __init__(self, app: Starlette, on_ready: Callable[[], None]) -> None:
        # log_config=None: a sandbox inside another program leaves that program's logging alone.
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                log_level="warning",
                access_log=False,
                lifespan="off",
                ws="none",
                loop="asyncio",
                timeout_graceful_shutdown=2,
            )
        )
        self._sandbox: Sandbox = app.state.sandbox
        self._on_ready = on_ready
        logging.getLogger("uvicorn.error").addFilter(_is_news)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._sandbox.faults.released.set()
        await super().shutdown(sockets)


def _is_news(record: logging.LogRecord) -> bool:
    """A connection cut by a "disconnect" fault was asked for: uvicorn need not complain."""
    return "without completing response" not in record.getMessage()


def _listen(host: str, port: int) -> tuple[socket.socket, str]:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
    )[0]
    # With the protocol named (socket.create_server leaves it out) asyncio turns Nagle's algorithm
    # off; otherwise every answer on a kept connection waits 40 ms for an acknowledgement.
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError:
        listener.close()
        raise
    reachable = "127.0.0.1" if host == "0.0.0.0" else host
    return listener, f"http://{reachable}:{listener.getsockname()[1]}"


def serve(
    config: SandboxConfig, host: str, port: int, on_ready: Callable[[str, dict[str, str]], None]
) -> None:
    """Run until interrupted.

    Args:
        config: what the networks are to serve.
        host: address to listen on.
        port: 0 takes a free one.
        on_ready: gets the base address and the settings that point the platform there.
    """
    listener, url = _listen(host, port)
    app = create_app(config)
    # uvicorn stops in good order, then raises the signal again: either one is an interrupt.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with listener, suppress(KeyboardInterrupt):
        _Server(app, lambda: on_ready(url, environment(url, app.state.sandbox))).run([listener])


class RunningSandbox:
    """The handle of a sandbox that runs in this process."""

    def __init__(self, url: str, sandbox: Sandbox) -> None:
        self.url = url
        self.environment = environment(url, sandbox)
        self._sandbox = sandbox

    def inject(self, kind: str, **settings: Any) -> None:
        """Add a fault: the fields of `faults.Fault`."""
        self._sandbox.faults.add(msgspec.convert({"kind": kind, **settings}, Fault))

    def clear(self) -> None:
        """No more faults."""
        self._sandbox.faults.clear()

    def reset(self) -> None:
        """No faults, no exact answers, an empty log, the clock as configured."""
        self._sandbox.reset()

    def requests(self) -> list[ServedRequest]:
        """The last requests served, oldest first."""
        return self._sandbox.requests.kept()

    def set_answer(self, station: str, body: str | None) -> None:
        """Serve exactly `body` for a station; None gives its own answers back."""
        if body is None:
            self._sandbox.answers.pop(station, None)
        else:
            self._sandbox.answers[station] = body

    def set_clock(self, now: datetime | None = None, speed: float | None = None) -> None:
        """As `clock.SandboxClock.set`."""
        self._sandbox.clock.set(now, speed)


@contextmanager
def running_sandbox(
    config: SandboxConfig, host: str = "127.0.0.1", port: int = 0
) -> Iterator[RunningSandbox]:
    """A sandbox in a thread, from the moment it answers until the block ends.

    Args:
        config: what the networks are to serve.
        host: address to listen on.
        port: 0 takes a free one.

    Yields:
        The sandbox, with its address and the settings that point the platform there.

    Raises:
        RuntimeError: the server ended before it answered.
    """
    app = create_app(config)
    listener, url = _listen(host, port)
    ready = threading.Event()
    server = _Server(app, ready.set)
    thread = threading.Thread(target=server.run, args=([listener],), name="sandbox", daemon=True)
    with listener:
        thread.start()
        try:
            while not ready.wait(0.05):
                if not thread.is_alive():
                    raise RuntimeError("the sandbox's server did not start")
            yield RunningSandbox(url, app.state.sandbox)
        finally:
            server.should_exit = True
            thread.join()
