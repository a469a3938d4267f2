"""Errors as outsiders see them: RFC 9457 problem details that say what to do."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"
# What an answer that cannot be given just now asks the client to wait, in seconds.
RETRY_AFTER = 5


class InvalidParameter(BaseModel):
    """One thing that is wrong with a request."""

    parameter: str = Field(description="Name of the parameter")
    detail: str = Field(description="What is wrong with it")


class ProblemDetails(BaseModel):
    """Problem details (RFC 9457)."""

    type: str = Field("about:blank", description="Kind of problem; about:blank: see status")
    title: str = Field(description="The status in words", examples=["Bad Request"])
    status: int = Field(description="HTTP status", examples=[400])
    detail: str = Field(
        description="What is wrong and what to do",
        examples=["start needs an offset: end it with Z, or with one such as +01:00."],
    )
    errors: list[InvalidParameter] = Field([], description="Each thing that is wrong")


class ProblemError(Exception):
    """A request that gets no answer but the reason why."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        parameter: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Say what is wrong.

        Args:
            status: HTTP status.
            detail: What is wrong and what to do, for whoever wrote the request.
            parameter: The parameter that is wrong.
            headers: Further headers of the answer.
        """
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.parameter = parameter
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """The answer."""
        errors = [] if self.parameter is None else [(self.parameter, self.detail)]
        return problem_response(self.status, self.detail, errors, self.headers)


def bad_request(detail: str, parameter: str | None = None) -> ProblemError:
    """A request that would fail the same way again."""
    return ProblemError(HTTPStatus.BAD_REQUEST, detail, parameter)


def not_found(detail: str, parameter: str | None = None) -> ProblemError:
    """A request for what there is not."""
    return ProblemError(HTTPStatus.NOT_FOUND, detail, parameter)


def unauthorized(detail: str) -> ProblemError:
    """A request without the key that it needs."""
    return ProblemError(HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": "Bearer"})


def too_many(seconds: int) -> ProblemError:
    """A request beyond the limit of who sent it."""
    return ProblemError(
        HTTPStatus.TOO_MANY_REQUESTS,
        f"Too many requests. Ask again in {seconds} s, and less often; /v1/latest has everything "
        "newest in one call.",
        headers={"Retry-After": str(seconds)},
    )


def unavailable(detail: str) -> ProblemError:
    """A request that may succeed later."""
    return ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"Retry-After": str(RETRY_AFTER)}
    )


def problem_response(
    status: int,
    detail: str,
    errors: list[tuple[str, str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """An answer with problem details.

    Args:
        status: HTTP status.
        detail: What is wrong and what to do.
        errors: Parameter and what is wrong with it.
        headers: Further headers.

    Returns:
        The answer, which no cache keeps.
    """
    content: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
    }
    if errors:
        content["errors"] = [{"parameter": name, "detail": text} for name, text in errors]
    return JSONResponse(
        content,
        status,
        headers={"Cache-Control": "no-store", **(headers or {})},
        media_type=MEDIA_TYPE,
    )
