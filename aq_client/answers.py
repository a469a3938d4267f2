"""What an answer of the API comes to: rows, a reason to wait and ask again, or an error."""

from __future__ import annotations

import io
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import polars as pl

ARROW = "application/vnd.apache.arrow.stream"
# Too many requests, and what a server or a proxy says of a passing fault.
_PASSING = {429, 502, 503, 504}
_FIRST_WAIT_SECONDS = 0.5


class ApiError(Exception):
    """The API gave no rows. Its text says what to do.

    Attributes:
        status: HTTP status; None where no answer came.
        errors: By parameter of the request, what is wrong with it.
        url: What was asked.
    """

    def __init__(
        self, detail: str, status: int | None, url: str, errors: dict[str, str] | None = None
    ) -> None:
        """Say what went wrong.

        Args:
            detail: The text.
            status: HTTP status; None where no answer came.
            url: What was asked.
            errors: By parameter, what is wrong with it.
        """
        super().__init__(detail)
        self.status = status
        self.url = url
        self.errors = errors or {}


@dataclass(frozen=True)
class Patience:
    """How often and how long a client tries.

    Attributes:
        attempts: Tries at one request.
        longest_wait: Seconds; a server that asks for a longer pause is not waited for.
    """

    attempts: int
    longest_wait: float


def rows_of(response: httpx.Response) -> pl.DataFrame:
    """The rows of an answer.

    Raises:
        ApiError: It is an error, or no answer of this API.
    """
    if response.is_error:
        raise error_of(response)
    kind = response.headers.get("content-type", "").partition(";")[0]
    try:
        if kind == ARROW:
            return pl.read_ipc_stream(io.BytesIO(response.content))
        if kind == "application/json":
            return _described(response.json())
    except (pl.exceptions.PolarsError, ValueError, KeyError, TypeError) as error:
        raise _foreign(response) from error
    raise _foreign(response)


def next_cursor(response: httpx.Response) -> str | None:
    """Where the following page begins; None on the last.

    Of its address no more is used: behind a proxy the API does not know its own.
    """
    following = response.links.get("next", {}).get("url")
    return None if following is None else httpx.URL(following).params.get("cursor")


def error_of(response: httpx.Response) -> ApiError:
    """What an answer that is an error says, as problem details or by its status."""
    detail, errors = "", dict[str, str]()
    try:
        problem = response.json()
        detail = str(problem["detail"])
        errors = {str(one["parameter"]): str(one["detail"]) for one in problem.get("errors", [])}
    except (ValueError, KeyError, TypeError, AttributeError):
        # A proxy's page, or nothing.
        detail = detail or f"{response.url.host} answered {response.status_code}"
        detail += f" {response.reason_phrase}" if response.reason_phrase else ""
    return ApiError(detail, response.status_code, str(response.url), errors)


def wait_before_retry(
    outcome: httpx.Response | httpx.TransportError, attempt: int, patience: Patience
) -> float | None:
    """Seconds until the same request may succeed; None where it is not asked again.

    Args:
        outcome: What came of it.
        attempt: How often it was asked by now.
        patience: How often and how long to try.

    Returns:
        What `Retry-After` says, else twice as long as before, not quite, lest all come at once.
    """
    if attempt >= patience.attempts:
        return None
    if isinstance(outcome, httpx.Response):
        if outcome.status_code not in _PASSING:
            return None
        asked = _retry_after(outcome)
        if asked is not None:
            return asked if asked <= patience.longest_wait else None
    longest: float = min(_FIRST_WAIT_SECONDS * 2 ** (attempt - 1), patience.longest_wait)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311


def unreachable(error: httpx.TransportError, url: str) -> ApiError:
    """What to say where no answer came."""
    reason = str(error) or type(error).__name__
    return ApiError(
        f"{url} cannot be reached ({reason}). Check the address, and that `aq serve` runs there.",
        None,
        url,
    )


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds, or a date; None without either."""
    text = response.headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _described(content: Any) -> pl.DataFrame:
    """Rows of the resources that have no form but JSON: a list, or a table's columns."""
    return pl.DataFrame(content if isinstance(content, list) else content["columns"])


def _foreign(response: httpx.Response) -> ApiError:
    return ApiError(
        f"{response.url} is no answer of the aq API: check the address that the client was given.",
        response.status_code,
        str(response.url),
    )
