"""Failures typed by the one question that matters to whoever handles them: does a retry help?

Both are Dagster failures, so that their message is what the UI shows first and a permanent one is
never retried by an asset's retry policy.
"""

from __future__ import annotations

import dagster as dg


class TransientFailure(dg.Failure):
    """Worth trying again later: 429, 5xx, time-outs, broken answers, locks.

    ``retry_after`` is the wait in seconds that the server itself asked for.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(description=message, allow_retries=True)
        self.message = message
        self.retry_after = retry_after


class PermanentFailure(dg.Failure):
    """Will fail the same way until somebody mends the cause that the message names."""

    def __init__(self, message: str) -> None:
        super().__init__(description=message, allow_retries=False)
        self.message = message


class SettingsError(Exception):
    """A setting or configuration file is wrong; the message names where, and the mend."""
