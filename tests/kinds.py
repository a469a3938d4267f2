"""What a test needs, as exactly one marker a test: `pure`, `fit`, `server` or `system`.

The folder, the fixtures and the names that a module imports say which; where they do not, a marker
at the test does. A pure test is held to it: it starts no process and connects to nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PURE, FIT, SERVER, SYSTEM = KINDS = ("pure", "fit", "server", "system")

# Fixtures behind which something listens, or that keep what they are given in a database.
FIXTURES = {"s3", "postgres", "sandbox", "guarded", "store", "location", "instance"}
# A module that has one of these by name starts such a thing itself.
STARTERS = {"running_sandbox", "ThreadingHTTPServer", "webhook_sink", "mail_sink", "Warehouse"}

# A stuck test ends in the end; on a busy machine a slow one is none.
SYSTEM_TIMEOUT_S = 7200

_SYSTEM_FOLDER = Path(__file__).parent / "system"
_OUTSIDE = (
    "subprocess.Popen.__init__",
    "os.system",
    "os.fork",
    "os.posix_spawn",
    "socket.socket.connect",
    "socket.socket.connect_ex",
)


def kind_of(item: pytest.Item) -> str:
    """The kind by folder and fixtures, where no marker says it."""
    if item.path.is_relative_to(_SYSTEM_FOLDER):
        return SYSTEM
    fixtures = set(getattr(item, "fixturenames", ()))
    names = set(vars(item.module)) if isinstance(item, pytest.Function) else set()
    return SERVER if fixtures & FIXTURES or names & STARTERS else PURE


def mark(item: pytest.Item) -> None:
    """Give a test the marker of its kind."""
    kinds = kinds_of(item)
    if not kinds:
        kinds = [kind_of(item)]
        item.add_marker(kinds[0])
    if SYSTEM in kinds and item.get_closest_marker("timeout") is None:
        item.add_marker(pytest.mark.timeout(SYSTEM_TIMEOUT_S))
    # Tracing costs a third of a test. What these show runs in other processes, in Stan or in
    # LightGBM, or is the code that runs on SQLite and a folder too, and in AirQino's chain.
    chain = item.path.stem.endswith("_chain") and item.path.stem != "test_airqino_chain"
    if not {SYSTEM, FIT}.isdisjoint(kinds) or chain or _is_second_backend(item):
        item.add_marker(pytest.mark.no_cover)


def _is_second_backend(item: pytest.Item) -> bool:
    """Whether the same test runs on an embedded backend as well."""
    callspec = getattr(item, "callspec", None)
    return callspec is not None and not {"s3", "postgres"}.isdisjoint(callspec.id.split("-"))


def kinds_of(item: pytest.Item) -> list[str]:
    """The kinds that an item's markers name."""
    return [kind for kind in KINDS if item.get_closest_marker(kind) is not None]


def long_ones_first(items: list[pytest.Item]) -> None:
    """Sort by what a file's slowest test needs, so that no core waits for another at the end."""
    turns: dict[Path, int] = {}
    for item in items:
        turn = -KINDS.index(kinds_of(item)[0])
        turns[item.path] = min(turn, turns.get(item.path, 0))
    items.sort(key=lambda item: turns[item.path])


@contextlib.contextmanager
def alone_in_its_process() -> Iterator[None]:
    """Fail where anything starts a process or connects to a server within the block."""
    # Replaced for the time being, not heard by an audit hook: that is called for each change of
    # the trace function too, where a switch of threads makes coverage's own change fail.
    with pytest.MonkeyPatch.context() as patch:
        for name in _OUTSIDE:
            patch.setattr(name, _refusal(name))
        yield


def _refusal(name: str) -> Callable[..., Any]:
    def refuse(*_: object, **__: object) -> None:
        # No suppressed exception: code under test may catch every other kind.
        pytest.fail(f"a pure test reaches outside its process: {name}")

    return refuse
