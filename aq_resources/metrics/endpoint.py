"""The small HTTP server that Prometheus asks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server

from aq_resources.failures import SettingsError


@contextmanager
def metrics_endpoint(registry: CollectorRegistry, host: str, port: int) -> Iterator[None]:
    """Serve a registry at `/metrics` until the block ends.

    Args:
        registry: What is served.
        host: Address to listen on.
        port: Its port.

    Yields:
        Nothing.

    Raises:
        SettingsError: the address cannot be listened on.
    """
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise SettingsError(
            f"Cannot serve metrics on {host}:{port} ({error.strerror}). Stop what runs there, or "
            "set another port: AQ_METRICS_PORT, or AQ_METRICS_API_PORT for the API."
        ) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
