"""`aq serve`: the API behind uvicorn, in one process or several."""

from __future__ import annotations

import uvicorn

from aq_serving.settings import ApiSettings

# Connections of a process, beyond which it answers 503 at once.
MOST_CONNECTIONS = 1000
# A worker that is still importing does not answer its parent either.
WORKER_START_SECONDS = 60


def serve_api(
    settings: ApiSettings,
    host: str | None = None,
    port: int | None = None,
    workers: int | None = None,
) -> None:
    """Serve until a signal comes. Each worker makes an application of its own.

    Args:
        settings: The environment's.
        host: Address to listen on; that of the settings without.
        port: Port; that of the settings without.
        workers: Processes; as many as the settings say without.
    """
    uvicorn.run(
        "aq_serving.app:from_environment",
        factory=True,
        host=settings.host if host is None else host,
        port=settings.port if port is None else port,
        workers=settings.workers if workers is None else workers,
        limit_concurrency=MOST_CONNECTIONS,
        server_header=False,
        timeout_worker_healthcheck=WORKER_START_SECONDS,
    )
