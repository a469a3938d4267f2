"""Dagster's code server, whose runs begin as copies of a process that has imported everything.

Dagster starts a new Python for every run, which imports for seconds before it does a thing. Here
that Python is forked from one that has done so and nothing else: it has opened no file, connection
or thread pool, so that a run is as much on its own as before, and shares the imports' memory.
"""

from __future__ import annotations

import multiprocessing
import sys
import threading
from collections.abc import Sequence
from multiprocessing import forkserver
from typing import TYPE_CHECKING, Any, cast

from dagster._cli.api import grpc_command
from dagster._grpc.server import DagsterApiServer

if TYPE_CHECKING:
    from multiprocessing.context import SpawnContext

# The servers that start beside this one need the cores first. A run that comes earlier begins it.
_FIRST_SECONDS = 10.0


def serve(arguments: Sequence[str], imports: Sequence[str]) -> None:
    """Run `dagster api grpc` until it is stopped.

    Args:
        arguments: Its command line.
        imports: Names of modules that runs need; one that is not there is left out.
    """
    # The command takes the class from there.
    taken_from = sys.modules[DagsterApiServer.__module__]
    setattr(taken_from, DagsterApiServer.__name__, _with_warm_runs(imports))
    grpc_command(list(arguments), prog_name="dagster api grpc")


def _with_warm_runs(imports: Sequence[str]) -> type[DagsterApiServer]:
    class WarmApiServer(DagsterApiServer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            # Elsewhere than on Linux system libraries may break in a forked process.
            if sys.platform == "linux":
                context = multiprocessing.get_context("forkserver")
                context.set_forkserver_preload(list(imports))
                begin = threading.Timer(_FIRST_SECONDS, forkserver.ensure_running)
                begin.daemon = True
                begin.start()
                # All that is used of it is what both have: a process, a queue and an event.
                self._mp_ctx = cast("SpawnContext", context)

    return WarmApiServer
