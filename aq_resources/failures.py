"""Failures typed by the one question that matters to whoever handles them: does a retry help?

They are plain exceptions, so that a command which runs nothing need not import Dagster.
`aq_resources.run_failures` makes Dagster's own of them where a run ends.
"""

from __future__ import annotations

from typing import ClassVar

from aq_resources.http.secrets import without_secrets


class PlatformFailure(Exception):  # noqa: N818  # as both that it stands for
    """What a person can do something about, in one message without secrets.

    `allow_retries`: whether the same may go well at another time.
    """

    allow_retries: ClassVar[bool]

    def __init__(self, message: str) -> None:
        self.message = without_secrets(message)
        super().__init__(self.message)


class TransientFailure(PlatformFailure):
    """Worth trying again later: 429, 5xx, time-outs, broken answers, locks.

    `retry_after` is the wait in seconds that the server itself asked for, `status` what it
    answered with, if it did.
    """

    allow_retries = True

    def __init__(
        self, message: str, *, retry_after: float | None = None, status: int | None = None
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.status = status


class PermanentFailure(PlatformFailure):
    """Will fail the same way until the cause that the message names is fixed."""

    allow_retries = False


class SettingsError(Exception):
    """A setting or configuration file is wrong; the message names where, and the remedy."""
