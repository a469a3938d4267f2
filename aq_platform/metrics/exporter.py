"""`aq metrics`: the process that measures the platform and that Prometheus asks.

It reads Dagster's records, the warehouse and the object store as any other reader does, in the
background: a scrape is answered from memory, and nothing that runs waits for it.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

import dagster as dg
from prometheus_client import CollectorRegistry, ProcessCollector

from aq_platform.instance import open_instance
from aq_platform.metrics.records import dagster_records
from aq_platform.metrics.runs import RunMetrics
from aq_platform.metrics.stores import disk_space, warehouse_size
from aq_resources.metrics.air import forecasts_and_quality, freshness
from aq_resources.metrics.collector import BackgroundCollector
from aq_resources.metrics.endpoint import metrics_endpoint
from aq_resources.metrics.settings import MetricsSettings
from aq_resources.services import Services
from aq_serving.reader import Reader

# No one waits for these reads; on a busy machine they may take long.
QUERY_SECONDS = 60.0
# One for each part that asks the warehouse.
CONNECTIONS = 2


def platform_collector(
    services: Services, instance: dg.DagsterInstance, reader: Reader, seconds: float
) -> BackgroundCollector:
    """Everything that is measured of the platform.

    Args:
        services: Networks, settings, object store and clock.
        instance: Dagster's.
        reader: Of the warehouse.
        seconds: From one measurement to the next.

    Returns:
        Not started yet.
    """
    return BackgroundCollector(
        {
            "runs": RunMetrics(instance).measure,
            "records": dagster_records(instance, services),
            "freshness": freshness(services),
            "forecasts": forecasts_and_quality(services, reader.query),
            "warehouse": warehouse_size(reader.query),
            "disk": disk_space(services),
        },
        seconds,
    )


def serve_metrics(
    services: Services,
    settings: MetricsSettings,
    host: str,
    port: int,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Measure and serve until a signal comes.

    Args:
        services: Settings, stores and networks.
        settings: How often is measured.
        host: Address to listen on.
        port: Port.
        ready: Called once it listens.

    Raises:
        SettingsError: the address cannot be listened on.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    reader = Reader(services, CONNECTIONS, QUERY_SECONDS)
    with open_instance(services.settings) as instance:
        collector = platform_collector(services, instance, reader, settings.seconds)
        registry.register(collector)
        with metrics_endpoint(registry, host, port):
            collector.start()
            ready()
            stop.wait()
            collector.stop()
    reader.close()
    services.close()
