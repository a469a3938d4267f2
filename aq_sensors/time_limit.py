"""A bound on how long a tick waits for a network or a store."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TypeVar

from aq_resources.failures import TransientFailure

Answer = TypeVar("Answer")


def within(seconds: float, work: Callable[[], Answer]) -> Answer:
    """The result of `work`, or `TransientFailure` once the time is up: a tick must end."""
    future: Future[Answer] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001  # raised again by future.result
            future.set_exception(error)

    threading.Thread(target=run, name="within", daemon=True).start()
    try:
        return future.result(timeout=seconds)
    except FutureTimeoutError:
        raise TransientFailure(f"no answer within {seconds:g} s") from None
