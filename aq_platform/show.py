"""What the command shows of runs: progress bars while they go, a line or two when they end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from aq_platform.console import plain
from aq_platform.runs import RunResult
from aq_resources.io_managers import RUN
from aq_resources.progress import listening

_STEPS = {
    "refresh": "pull, clean, average",
    "readings": "pull and clean",
    "daily": "average",
    "models": "fit forecast models",
    "forecast": "forecast",
    "scores": "score forecasts",
    "publish": "publish",
}


@contextmanager
def bars(console: Console, network: str) -> Iterator[Callable[[str, str], None]]:
    """One bar an asset; yields the function to call when a step begins."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        tasks: dict[str, TaskID] = {}
        step = progress.add_task(network, total=None)

        def begin(name: str, job: str) -> None:
            progress.update(step, description=f"{name}: {_STEPS.get(job, job)}")

        def report(asset: str, done: int, total: int) -> None:
            if asset not in tasks or progress.tasks[tasks[asset]].total != total:
                tasks[asset] = progress.add_task(asset, total=total)
            progress.update(tasks[asset], completed=done)

        with listening(report):
            yield begin


def print_result(result: RunResult, out: Console, err: Console) -> None:
    """Print the summary of one run.

    Args:
        result: What the run did.
        out: Standard output, for the counts.
        err: Standard error, for failures and warnings.
    """
    mark = "[green]✓[/]" if result.success else "[red]✗[/]"
    network, _, job = result.job.rpartition("_")
    counted = plain(", ".join(_counts(result)))
    out.print(
        f"{mark} {network}: {_STEPS.get(job, job)}{': ' if counted else ''}{counted}",
        highlight=False,
    )
    for failure in _in_one_line(result.failures):
        err.print(f"  [red]{plain(failure)}[/]", highlight=False, soft_wrap=True)
    for warning in result.warnings:
        err.print(f"  [yellow]{plain(warning)}[/]", highlight=False, soft_wrap=True)


def _in_one_line(failures: list[str]) -> Iterator[str]:
    """The first failure: the steps that fail beside it mostly have the same cause."""
    distinct = list(dict.fromkeys(failures))
    if distinct:
        others = f" (and {len(distinct) - 1} more in the run's page)" if len(distinct) > 1 else ""
        yield f"{distinct[0]}{others}"


def _counts(result: RunResult) -> Iterator[str]:
    seen = result.metadata
    if "stations" in seen:
        yield f"{seen['stations'].get('stations', 0)} stations"
    if "raw_pulls" in seen:
        pulls = seen["raw_pulls"]
        yield f"{pulls.get('requests', 0)} requests ({pulls.get('answers_repeated', 0)} unchanged)"
    if "hourly_readings" in seen:
        hourly = seen["hourly_readings"]
        run = hourly.get(RUN, {})
        valid, revised = run.get("valid_percent", 0), run.get("revised_hours", 0)
        yield f"{run.get('rows', 0):,} hourly readings ({valid:.1f}% valid, {revised:,} revised)"
        if hourly.get("malformed_records"):
            yield f"{hourly['malformed_records']:,} malformed records"
    if "daily_averages" in seen:
        yield f"{_rows(seen['daily_averages']):,} daily averages"
    if "forecast_models" in seen:
        yield f"{seen['forecast_models'].get('series', 0)} series"
    if "forecasts" in seen:
        yield f"{_rows(seen['forecasts']):,} forecasts"
    if "forecast_scores" in seen:
        yield f"{seen['forecast_scores'].get('scored', 0):,} scored"


def _rows(metadata: Mapping[str, Any]) -> int:
    """Rows that the run wrote."""
    return int(metadata.get(RUN, {}).get("rows", 0))
