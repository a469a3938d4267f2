"""Python's own hook in the servers of a platform under test: they start with less work.

Dagster's code server starts each run's process from nothing: three seconds of CPU, a hundred times
in a test run. Forked from a process that has imported everything, it does the same work. What a
start from nothing does is tested with Celery's workers.
"""

import gc
import multiprocessing
from multiprocessing import context

context.SpawnContext.Process = context.ForkServerProcess  # type: ignore[assignment]
multiprocessing.get_context("forkserver").set_forkserver_preload(
    ["tests.garbage", "tests.system.integration.preload"]
)

# As tests.garbage does, which not every server has on its path.
gc.set_threshold(50_000)
