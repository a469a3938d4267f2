"""A network on a bad day: what passes is ridden out, what does not is named, nothing is spoilt."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pytest

from aq_sandbox.server import RunningSandbox
from tests.system.faults.conftest import READINGS, STATIONS, At, differences, tables
from tests.system.integration.harness import Installation

Tables = dict[str, pl.DataFrame]
SICK = STATIONS[1]
RETRY_AFTER = 7.0
# Shorter than the sandbox's delay, much longer than its true answers take.
TIMEOUT = {"AQ_HTTP_TIMEOUT_SECONDS": "1.5"}


@dataclass(frozen=True)
class Bad:
    """A fault, and what a run that it defeats says of it."""

    fault: dict[str, Any]
    says: str
    settings: dict[str, str] = field(default_factory=dict)


FAULTS = {
    "429": Bad({"kind": "status", "status": 429, "retry_after": RETRY_AFTER}, "answered 429 to"),
    "500": Bad({"kind": "status", "status": 500}, "answered 500 to"),
    "timeout": Bad({"kind": "timeout", "delay": 3.0}, "did not answer in time", TIMEOUT),
    "cut-off": Bad({"kind": "disconnect"}, "cannot be reached"),
    "truncated": Bad({"kind": "truncate"}, "sent a broken answer"),
    "html": Bad({"kind": "html"}, "sent a broken answer"),
}


@pytest.fixture(params=FAULTS.values(), ids=[*FAULTS])
def bad(request: pytest.FixtureRequest) -> Bad:
    found: Bad = request.param
    return found


def test_what_passes_is_ridden_out(
    undisturbed: Tables, fresh: Installation, sandbox: RunningSandbox, at_work: At, bad: Bad
) -> None:
    sandbox.inject(**bad.fault, times=3, path_contains="getStationHourlyAvg")
    with at_work(fresh.with_settings(**bad.settings)) as work:
        outcomes = work.backfill()
        assert [outcome.failures for outcome in outcomes if not outcome.success] == []
        assert not any(outcome.incomplete for outcome in outcomes)
        # Nothing broken was taken for an answer.
        assert {answer.status for answer in work.answers()} == {200}
        assert len(work.waits) == 3
        if "retry_after" in bad.fault:
            assert work.waits == [RETRY_AFTER] * 3
    assert differences(tables(fresh, READINGS), undisturbed) == {}


def test_what_lasts_fails_the_run_with_its_cause_or_leaves_one_station_out(
    undisturbed: Tables, fresh: Installation, sandbox: RunningSandbox, at_work: At, bad: Bad
) -> None:
    with at_work(fresh.with_settings(**bad.settings, AQ_HTTP_ATTEMPTS="1")) as work:
        # The whole network is sick: the run fails.
        sandbox.inject(**bad.fault)
        outcome, *_ = work.backfill()
        assert not outcome.success
        assert all(bad.says in failure for failure in outcome.failures), outcome.failures

        # One station is: the others come through, and the command does not pass for complete.
        sandbox.clear()
        sandbox.inject(**bad.fault, path_contains=f"getStationHourlyAvg/{SICK}")
        outcome, *_ = work.backfill()
        assert outcome.success
        assert outcome.incomplete
        assert any(SICK in warning and bad.says in warning for warning in outcome.warnings)
        well = pl.col("station_id") != SICK
        for name, rows in tables(fresh, ("hourly_readings", "daily_averages")).items():
            assert rows.filter(well).equals(undisturbed[name].filter(well))

        # All are well again.
        sandbox.clear()
        outcome, *_ = work.backfill()
        assert outcome.success
        assert not outcome.incomplete, outcome.warnings
    assert differences(tables(fresh, READINGS), undisturbed) == {}


@contextmanager
def resetting_server() -> Iterator[str]:
    """Takes connections and resets each as soon as something is asked."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connection.recv(1)
                # With no time to linger a close is a reset.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_reset_connections_fail_the_run_with_their_cause(
    undisturbed: Tables, fresh: Installation, at_work: At
) -> None:
    with resetting_server() as url:
        away = fresh.with_settings(AQ_AIRQINO_URL=url, AQ_AIRQINO_CATALOGUE_URL=f"{url}/station")
        with at_work(away) as work:
            outcome, *_ = work.backfill()
    assert not outcome.success
    assert all("reset by peer" in failure for failure in outcome.failures), outcome.failures
    with at_work(fresh) as work:
        assert all(outcome.success for outcome in work.backfill(forecasts=True))
    assert differences(tables(fresh), undisturbed) == {}
