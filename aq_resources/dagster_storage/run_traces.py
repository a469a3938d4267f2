"""A span for every run and, within it, one for every step, made of the events of a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from aq_resources.logs import of_run
from aq_resources.traces import trace_provider

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_FAILED = (dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.STEP_UP_FOR_RETRY)
_ENDED = (dg.DagsterEventType.STEP_SUCCESS, dg.DagsterEventType.STEP_SKIPPED, *_FAILED)


def traced(run: dg.DagsterRun, events: Iterator[dg.DagsterEvent]) -> Iterator[dg.DagsterEvent]:
    """The events as they come, with spans where traces are asked for."""
    provider = trace_provider()
    return events if provider is None else _spans(provider, run, events)


def _spans(
    provider: TracerProvider, run: dg.DagsterRun, events: Iterator[dg.DagsterEvent]
) -> Iterator[dg.DagsterEvent]:
    """Spans named as the job and the steps, with run, network and partition.

    Args:
        provider: Makes and sends them.
        run: What is executed.
        events: Of its execution.

    Yields:
        The events.
    """
    from opentelemetry import trace

    tracer = provider.get_tracer("aq")
    about = {f"aq.{name}": value for name, value in of_run(run).items()}
    whole = tracer.start_span(run.job_name, attributes=about)
    within = trace.set_span_in_context(whole)
    steps: dict[str | None, trace.Span] = {}
    failed = trace.Status(trace.StatusCode.ERROR)
    try:
        for event in events:
            if event.event_type == dg.DagsterEventType.STEP_START:
                steps[event.step_key] = tracer.start_span(
                    event.step_key or "", within, attributes=about
                )
            elif event.event_type in _ENDED and event.step_key in steps:
                step = steps.pop(event.step_key)
                if event.event_type in _FAILED:
                    step.set_status(failed)
                    whole.set_status(failed)
                step.end()
            yield event
    finally:
        for step in steps.values():
            step.end()
        whole.end()
        # The process ends with its run.
        provider.force_flush()
