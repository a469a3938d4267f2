"""`aq serve`: the API behind uvicorn, in one process or several."""

from __future__ import annotations

import argparse
import logging
import resource

import uvicorn
from uvicorn.config import LOGGING_CONFIG

from aq_resources.logs import LogSettings
from aq_resources.metrics.settings import MetricsSettings
from aq_serving.limits import shared_rates
from aq_serving.metrics import api_metrics
from aq_serving.protocol import ServingProtocol
from aq_serving.settings import ApiSettings

# A worker that is still importing does not answer its parent either.
WORKER_START_SECONDS = 60
# Files beside the connections.
_OTHER_FILES = 256
_LOG = logging.getLogger("aq.serving")


def serve_api(
    settings: ApiSettings,
    host: str | None = None,
    port: int | None = None,
    workers: int | None = None,
    log_level: str = "info",
) -> None:
    """Serve until a signal comes. Each worker makes an application of its own.

    Args:
        settings: The environment's.
        host: Address to listen on; that of the settings without.
        port: Port; that of the settings without.
        workers: Processes; as many as the settings say without.
        log_level: Of what uvicorn says itself.
    """
    processes = settings.workers if workers is None else workers
    _allow_files(settings.most_connections + _OTHER_FILES)
    with shared_rates(), api_metrics(MetricsSettings(), processes):
        uvicorn.run(
            "aq_serving.app:from_environment",
            factory=True,
            host=settings.host if host is None else host,
            port=settings.port if port is None else port,
            workers=processes,
            http=ServingProtocol,
            log_level=log_level,
            # A line a request would cost more than the answer; a proxy keeps such a log.
            access_log=False,
            server_header=False,
            # Without a form of its own uvicorn logs as the process does.
            log_config=None if LogSettings().as_json else LOGGING_CONFIG,
            timeout_worker_healthcheck=WORKER_START_SECONDS,
        )


def _allow_files(wanted: int) -> None:
    """Let a process have so many connections, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        _LOG.warning(
            "The system allows %s open files, fewer than AQ_API_MOST_CONNECTIONS needs: raise the "
            "limit (ulimit -n), or lower the setting.",
            hard,
        )


def main() -> None:
    """What `aq up` starts: the API at an address."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log-level", required=True)
    parser.add_argument("--log-format", help="That of the settings counts")
    asked = parser.parse_args()
    serve_api(ApiSettings(), asked.host, asked.port, log_level=asked.log_level)


if __name__ == "__main__":
    main()
