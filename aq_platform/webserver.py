"""Dagster's web server behind the guard: `python -m aq_platform.webserver`.

It takes every option of `dagster-webserver`, compresses its answers and is quick with long lists of
partitions. Everything that serves the UI is started by this, on one machine as in containers.
"""

from __future__ import annotations

from typing import Any

import click
from dagster_webserver import cli
from dagster_webserver.app import create_app_from_workspace_process_context
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp

from aq_platform.console import readable_errors
from aq_platform.web_guard import WebGuard
from aq_resources.dagster_storage import partition_keys
from aq_resources.settings import Settings


def _create_guarded_app(*args: Any, **kwargs: Any) -> ASGIApp:
    application = create_app_from_workspace_process_context(*args, **kwargs)
    bound = click.get_current_context().params["host"]
    # The keys of ten years of hours are 1.7 MB, or 0.2 MB in 7 ms; higher levels gain little.
    compressed = GZipMiddleware(application, compresslevel=1)
    return WebGuard(compressed, [bound, *Settings().known_ui_hosts])


def main() -> None:
    """Serve until a signal comes."""
    with readable_errors():
        Settings()
    partition_keys.install()
    # The one name by which Dagster's command makes the application that it hands to uvicorn.
    cli.create_app_from_workspace_process_context = _create_guarded_app  # type: ignore[attr-defined, assignment]
    cli.main()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
