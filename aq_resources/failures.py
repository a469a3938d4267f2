"""Failures typed by the one question that matters to whoever handles them: does a retry help?

Both are Dagster failures, so that their message is what the UI shows first and a permanent one is
never retried by an asset's retry policy.
"""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg

from aq_resources.http.secrets import without_secrets


class TransientFailure(dg.Failure):
    """Worth trying again later: 429, 5xx, time-outs, broken answers, locks.

    `retry_after` is the wait in seconds that the server itself asked for, `status` what it
    answered with, if it did.
    """

    def __init__(
        self, message: str, *, retry_after: float | None = None, status: int | None = None
    ) -> None:
        self.message = without_secrets(message)
        super().__init__(description=self.message, allow_retries=True)
        self.retry_after = retry_after
        self.status = status


class PermanentFailure(dg.Failure):
    """Will fail the same way until the cause that the message names is fixed."""

    def __init__(self, message: str) -> None:
        self.message = without_secrets(message)
        super().__init__(description=self.message, allow_retries=False)


class SettingsError(Exception):
    """A setting or configuration file is wrong; the message names where, and the remedy."""


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
