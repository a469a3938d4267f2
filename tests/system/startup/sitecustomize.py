"""Python's own hook in the servers of a platform under test: their run workers are forked.

Dagster's code server starts each run's process from nothing: three seconds of CPU, a hundred times
in a test run. Forked from a process that has imported everything, it does the same work. What a
start from nothing does is tested with Celery's workers.
"""

import multiprocessing
from multiprocessing import context

context.SpawnContext.Process = context.ForkServerProcess  # type: ignore[assignment]
multiprocessing.get_context("forkserver").set_forkserver_preload(
    ["tests.system.integration.preload"]
)
