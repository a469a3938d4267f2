"""Measurements taken in the background, so that a scrape only hands out what is there.

Each part (Dagster's records, the warehouse, …) is taken by itself: one that fails or hangs keeps
its last numbers, which `aq_measured_timestamp_seconds` tells the age of, and no other part waits.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

_LOG = logging.getLogger("aq.metrics")

# Takes a part's measurements.
Measure = Callable[[], Iterable[Metric]]


def gauge(name: str, text: str, labels: Iterable[str] = ()) -> GaugeMetricFamily:
    """A family of gauges.

    Args:
        name: As Prometheus has it, with its unit.
        text: Its help.
        labels: Names of its labels.

    Returns:
        Without samples yet.
    """
    return GaugeMetricFamily(name, text, labels=list(labels))


class BackgroundCollector(Collector):
    """What Prometheus is given: the newest measurements of every part."""

    def __init__(self, parts: Mapping[str, Measure], seconds: float) -> None:
        """Takes nothing before it is started.

        Args:
            parts: By name.
            seconds: From the end of one measurement to the beginning of the next.
        """
        self._parts = dict(parts)
        self._seconds = seconds
        self._taken: dict[str, tuple[Metric, ...]] = {}
        self._at: dict[str, float] = {}
        self._took: dict[str, float] = {}
        self._failed = dict.fromkeys(parts, 0)
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to measure, each part in a thread of its own."""
        self._threads = [
            threading.Thread(target=self._go_on, args=(part,), name=f"measure {part}", daemon=True)
            for part in self._parts
        ]
        for thread in self._threads:
            thread.start()

    def stop(self, patience: float = 5.0) -> None:
        """Measure no more; a measurement under way is waited for so many seconds."""
        self._stop.set()
        for thread in self._threads:
            thread.join(patience)

    def measure(self) -> None:
        """Take every part once, now."""
        with ThreadPoolExecutor(max(1, len(self._parts))) as pool:
            list(pool.map(self._take, self._parts))

    def describe(self) -> Iterable[Metric]:
        """Nothing: names are known once they are measured."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The newest measurements; reads memory alone."""
        at = gauge(
            "aq_measured_timestamp_seconds", "When the part was last measured, Unix time", ["part"]
        )
        took = gauge("aq_measuring_duration_seconds", "How long measuring the part took", ["part"])
        failed = CounterMetricFamily(
            "aq_measuring_errors", "Measurements of the part that failed", labels=["part"]
        )
        for part in self._parts:
            failed.add_metric([part], self._failed[part])
            # A part that was never measured is as old as can be.
            at.add_metric([part], self._at.get(part, 0.0))
            if part in self._took:
                took.add_metric([part], self._took[part])
            yield from self._taken.get(part, ())
        yield from (at, took, failed)

    def _go_on(self, part: str) -> None:
        while not self._stop.is_set():
            self._take(part)
            self._stop.wait(self._seconds)

    def _take(self, part: str) -> None:
        begun = time.monotonic()
        try:
            self._taken[part] = tuple(self._parts[part]())
        except Exception as error:  # noqa: BLE001 (whatever it is, the others go on and it is counted)
            self._failed[part] += 1
            _LOG.warning("The metrics of %s could not be measured: %s", part, error)
            return
        self._took[part] = time.monotonic() - begun
        self._at[part] = time.time()
