"""Failures of runs: the platform's own as Dagster's, and what Dagster noted of them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import dagster as dg

from aq_resources.failures import PlatformFailure

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def failing_as_dagster(
    work: Callable[Arguments, Result],
) -> Callable[Arguments, Result]:
    """The same work, of which Dagster understands the failures.

    Their message is then what the UI shows first, and a permanent one is retried by no policy. For
    whatever Dagster calls within a step: bodies of assets and checks, IO managers.
    """
    if inspect.isgeneratorfunction(work):

        def answers(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Iterator[Any]:
            with _translated():
                yield from work(*args, **kwargs)

        return functools.wraps(work)(answers)  # type: ignore[return-value]

    @functools.wraps(work)
    def answer(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with _translated():
            return work(*args, **kwargs)

    return answer


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except PlatformFailure as failure:
        raise dg.Failure(failure.message, allow_retries=failure.allow_retries) from failure


def step_failure_reason(event: dg.DagsterEvent) -> str:
    """Why a step failed: a failure's own description, else the first error behind it."""
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    text = error.message.strip() if error is not None else "unknown failure"
    return f"{event.step_key}: {text}"


def check_detail(check: dg.AssetCheckEvaluation) -> str:
    """What a check found, in one line: its first examples and its numbers."""
    return "; ".join(_found(check))


def _found(check: dg.AssetCheckEvaluation) -> Iterator[str]:
    for name, value in check.metadata.items():
        if isinstance(value, dg.TableMetadataValue):
            for record in value.records[:3]:
                yield ", ".join(f"{k} {v}" for k, v in record.data.items())
        elif isinstance(value.value, int | float) and name not in ("rows", "days"):
            yield f"{name} {value.value:g}"
