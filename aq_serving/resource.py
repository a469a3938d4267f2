"""What all resources have in common: two addresses, forms, pages and their part of OpenAPI."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import polars as pl
from fastapi import APIRouter
from pydantic import BaseModel, create_model
from starlette.requests import Request
from starlette.responses import Response

from aq_resources.documents.columns import ColumnDescription, describe
from aq_resources.documents.credits import Credit
from aq_resources.documents.forms import Answer, Format
from aq_science.tables.core import Table
from aq_serving import cursors
from aq_serving.answers import respond
from aq_serving.context import Context, Present
from aq_serving.formats import choose
from aq_serving.problems import MEDIA_TYPE
from aq_serving.queries import Page, address_of_next, scope
from aq_serving.tables import example_row, row_model

Endpoint = Callable[..., Response]

PROBLEMS = {
    400: "A parameter is wrong; the answer says which and what to write.",
    401: "The key is not known, or one is needed and missing.",
    404: "There is no such station or resource.",
    406: "The resource has no such form.",
    429: "Too many requests; `Retry-After` says when to ask again.",
    503: "It cannot be read just now, or took too long.",
}


def resource(
    router: APIRouter,
    path: str,
    table: Table,
    forms: Collection[Format],
    more: dict[str, Any] | None = None,
) -> Callable[[Endpoint], Endpoint]:
    """Make a function the answer to `path` and `path.<extension>`.

    Args:
        router: Gets both addresses; the second is not in the OpenAPI document.
        path: Such as `/stations`.
        table: What the rows are.
        forms: Forms of the answer.
        more: Further members of JSON: type and default, as `pydantic.create_model` takes them.

    Returns:
        A decorator.
    """

    def decorate(endpoint: Endpoint) -> Endpoint:
        router.add_api_route(
            path,
            endpoint,
            methods=["GET"],
            response_class=Response,
            responses=responses(page_model(table, more or {}), table, forms),
            description=f"{endpoint.__doc__}\n\nEach row: {table.text}",
        )
        router.add_api_route(
            f"{path}.{{extension}}", endpoint, methods=["GET"], include_in_schema=False
        )
        return endpoint

    return decorate


def answer_in_form(
    request: Request, wanted: str | None, forms: Collection[Format], make: Callable[[], Answer]
) -> Response:
    """The answer in the form that the request wants, which is looked at before anything is read.

    Args:
        request: For the extension and `Accept`.
        wanted: Its parameter `format`.
        forms: Those that there are.
        make: Gives the answer.

    Returns:
        The response.

    Raises:
        ProblemError: There is no such form, or no answer.
    """
    form = form_of(request, wanted, forms)
    return respond(request, make(), form)


def form_of(request: Request, wanted: str | None, forms: Collection[Format]) -> Format:
    """The form that the request wants.

    Args:
        request: For the extension and `Accept`.
        wanted: Its parameter `format`.
        forms: Those that there are.

    Returns:
        One of them.

    Raises:
        ProblemError: There is no such form.
    """
    return choose(
        None if wanted is None else Format(wanted),
        request.path_params.get("extension"),
        request.headers.get("accept", ""),
        forms,
    )


def key_of(
    request: Request, page: Page, table: Table, order: tuple[str, ...]
) -> cursors.Key | None:
    """The key behind which the page begins; None for the first.

    Args:
        request: Whose page it is.
        page: Its parameters.
        table: Whose rows.
        order: Columns by which pages are cut.

    Returns:
        A value for each column of `order`.

    Raises:
        ProblemError: The cursor is none of this request.
    """
    if page.cursor is None:
        return None
    return cursors.decode(page.cursor, scope(request), [table.schema[name] for name in order])


def page_of(
    request: Request,
    context: Context | Present,
    table: Table,
    rows: pl.DataFrame,
    order: tuple[str, ...],
    limit: int,
) -> Answer:
    """A page as an answer.

    Args:
        request: For the address of the next page.
        context: Knows whom to credit.
        table: What the rows are.
        rows: One more than the page has, where there is one.
        order: Columns by which pages are cut.
        limit: Most rows of the page.

    Returns:
        The answer.
    """
    following = None
    if rows.height > limit:
        rows = rows.head(limit)
        key = rows.select(order).row(-1)
        following = address_of_next(request, cursors.encode(key, scope(request)))
    return Answer(table, rows, context.directory.credits(rows), following)


def page_model(table: Table, more: dict[str, Any]) -> type[BaseModel]:
    """Model of JSON, for OpenAPI."""
    name = "".join(part.capitalize() for part in table.name.split("_"))
    row: Any = row_model(table, name)
    return create_model(
        f"{name}Page",
        data=(list[row], ...),
        **more,
        next=(str | None, ...),
        attribution=(list[Credit], ...),
        columns=(list[ColumnDescription], ...),
    )


def responses(
    model: type[BaseModel], table: Table, forms: Collection[Format]
) -> dict[int | str, dict[str, Any]]:
    """The part of OpenAPI on what is answered.

    Args:
        model: Of JSON.
        table: For the example.
        forms: Those that there are.

    Returns:
        By status, as FastAPI takes it.
    """
    example = {
        "data": [example_row(table)],
        "next": None,
        "attribution": [],
        "columns": [column.model_dump() for column in describe(table)[:2]],
    }
    content: dict[str, Any] = {
        form.media_type: {"schema": {"type": "string"}}
        if form is Format.csv
        else {"schema": {"type": "string", "format": "binary"}}
        for form in forms
        if form is not Format.json
    }
    if Format.geojson in forms:
        content[Format.geojson.media_type] = {"schema": {"type": "object"}}
    content[Format.json.media_type] = {"example": example}
    found: dict[int | str, dict[str, Any]] = {
        200: {"model": model, "description": table.text, "content": content},
        304: {"description": "What `If-None-Match` names is still the answer."},
    }
    return found | problem_responses()


def problem_responses() -> dict[int | str, dict[str, Any]]:
    """The part of OpenAPI on refusals."""
    schema = {"$ref": "#/components/schemas/ProblemDetails"}
    return {
        status: {"description": text, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status, text in PROBLEMS.items()
    }
