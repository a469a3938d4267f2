"""Progress of long work, reported to listeners in this process (the command's progress bars)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

# asset, hours done, hours in all
Listener = Callable[[str, int, int], None]

_listeners: list[Listener] = []


def report(asset: str, done: int, total: int) -> None:
    """Report to every listener how far an asset is.

    Args:
        asset: Its key as users write it.
        done: Hours of the run's window that are done.
        total: Hours of the window.
    """
    for listener in _listeners:
        listener(asset, done, total)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call `listener` for every report made meanwhile."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
