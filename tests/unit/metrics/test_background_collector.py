"""Measurements go on part by part, and a scrape waits for none of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from aq_resources.metrics.collector import BackgroundCollector, gauge


def one(value: float) -> Iterator[Metric]:
    family = gauge("aq_one", "One number")
    family.add_metric([], value)
    yield family


def sample(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def test_a_part_that_fails_keeps_its_numbers_and_is_counted() -> None:
    calls: list[int] = []

    def sometimes() -> Iterator[Metric]:
        calls.append(1)
        if len(calls) > 1:
            raise OSError("the store is away")
        return one(7.0)

    collector = BackgroundCollector({"store": sometimes}, 60.0)
    registry = CollectorRegistry()
    registry.register(collector)
    assert sample(registry, "aq_measured_timestamp_seconds", part="store") == 0.0
    collector.measure()
    measured = sample(registry, "aq_measured_timestamp_seconds", part="store")
    assert measured
    assert sample(registry, "aq_measuring_errors_total", part="store") == 0.0
    collector.measure()
    assert sample(registry, "aq_one") == 7.0
    assert sample(registry, "aq_measuring_errors_total", part="store") == 1.0
    assert sample(registry, "aq_measured_timestamp_seconds", part="store") == measured


def test_a_part_that_hangs_holds_up_neither_the_others_nor_a_scrape() -> None:
    release, taken = threading.Event(), threading.Event()

    def hangs() -> Iterator[Metric]:
        release.wait()
        return one(1.0)

    def works() -> Iterator[Metric]:
        taken.set()
        return one(2.0)

    collector = BackgroundCollector({"hangs": hangs, "works": works}, 0.001)
    registry = CollectorRegistry()
    registry.register(collector)
    collector.start()
    try:
        assert taken.wait(60)
        # A second round of the part that works: the first one is stored by then.
        taken.clear()
        assert taken.wait(60)
        assert sample(registry, "aq_one") == 2.0
        assert sample(registry, "aq_measured_timestamp_seconds", part="hangs") == 0.0
    finally:
        release.set()
        collector.stop(60)
