"""A span of OpenTelemetry for each request that the application answers, where they are asked for.

What is answered from memory has none: its span would take longer than the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Receive, Scope, Send

from aq_serving.metrics import Answering, route_of

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider


class RequestSpans:
    """Makes a span of each request: its route, its status and how long it took."""

    def __init__(self, app: ASGIApp, provider: TracerProvider) -> None:
        """Within a trace that a request names (`traceparent`), or a new one.

        Args:
            app: Answers.
            provider: Makes the spans.
        """
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._app = app
        self._tracer = provider.get_tracer("aq.serving")
        self._context = TraceContextTextMapPropagator()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        from opentelemetry.trace import SpanKind, StatusCode

        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        method = str(scope["method"])
        with self._tracer.start_as_current_span(
            method, self._context.extract(headers), SpanKind.SERVER
        ) as span:
            answer = Answering(send)
            try:
                await self._app(scope, receive, answer)
            finally:
                route = route_of(scope)
                span.update_name(f"{method} {route}")
                span.set_attributes(
                    {
                        "http.request.method": method,
                        "http.route": route,
                        "http.response.status_code": answer.status,
                        # Without the query, which may say where somebody is.
                        "url.path": str(scope["path"]),
                    }
                )
                if answer.status >= 500:
                    span.set_status(StatusCode.ERROR)
