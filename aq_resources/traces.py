"""Traces of runs and requests by OpenTelemetry, if its extra is there and its variables ask for it.

`OTEL_TRACES_EXPORTER` says where to: `otlp` (with `OTEL_EXPORTER_OTLP_ENDPOINT`) or `console`. All
other variables of the SDK hold as well (`OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, …).
"""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import TYPE_CHECKING

from aq_resources.failures import SettingsError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

EXPORTER = "OTEL_TRACES_EXPORTER"
_SERVICE = "OTEL_SERVICE_NAME"


def trace_provider() -> TracerProvider | None:
    """What makes spans in this process; None where none are asked for.

    Raises:
        SettingsError: The variable has a value that is not known, or the extra is missing.
    """
    return _provider(os.environ.get(EXPORTER, "").strip() or "none")


@cache
def _provider(exporter: str) -> TracerProvider | None:
    if exporter == "none":
        return None
    if exporter not in ("otlp", "console"):
        raise SettingsError(f"{EXPORTER} must be otlp, console or none, not {exporter!r}.")
    try:
        return _open(exporter)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"{EXPORTER} is set, and OpenTelemetry is not installed: pip install '.[otel]', or "
            "unset it."
        ) from error


def _open(exporter: str) -> TracerProvider:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    own = {} if os.environ.get(_SERVICE) else {"service.name": "aq"}
    provider = TracerProvider(resource=Resource.create(own))
    provider.add_span_processor(BatchSpanProcessor(_exporter(exporter)))
    return provider


def _exporter(name: str) -> SpanExporter:
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        # Its own default is the output that there was when its module was imported.
        return ConsoleSpanExporter(out=sys.stdout)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()
