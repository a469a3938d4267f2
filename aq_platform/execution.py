"""Runs that the `aq` command starts, with their progress and what came of them shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from aq_platform.console import err, out
from aq_platform.definitions import build_defs
from aq_platform.instance import open_instance
from aq_platform.runs import Runner, RunResult
from aq_platform.sandbox_guard import guarded_services
from aq_platform.show import bars, print_result


@contextmanager
def open_runner() -> Iterator[Runner]:
    """What starts runs in this process, with the platform's definitions and instance."""
    services = guarded_services()
    with open_instance(services.settings) as instance:
        try:
            yield Runner(services, build_defs(services), instance)
        finally:
            services.close()


def carry_out(runner: Runner, network: str, results: Iterable[RunResult]) -> bool:
    """Do one network's runs with progress bars.

    Args:
        runner: What starts the runs.
        network: The network's name.
        results: The runs, each begun as its result is asked for.

    Returns:
        False where a run failed or a station could not be pulled or described.
    """
    ok = True
    with bars(err, network) as begin:
        runner.on_start = begin
        for result in results:
            print_result(result, out, err)
            ok &= result.success and not result.incomplete
    return ok
