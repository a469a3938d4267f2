"""The categories of the air-quality indices: bands, colours and advice."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import polars as pl
from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from aq_resources.documents.columns import plain_schema
from aq_resources.documents.forms import TABULAR, Answer
from aq_science.index_categories import index_categories
from aq_science.tables.index_categories import INDEX_CATEGORIES, INDEX_NAMES
from aq_serving.context import Context
from aq_serving.queries import Form, ParameterName
from aq_serving.resource import answer_in_form, resource

IndexName: Any = Literal[INDEX_NAMES]


class IndexCategoriesQuery(Form):
    """Parameters of `/index-categories`."""

    index_name: IndexName | None = Field(None, description="Index; both without")
    table_name: str | None = Field(
        None,
        max_length=20,
        description="Version of the breakpoints; all without",
        examples=["2024"],
    )
    parameter: list[ParameterName] = Field([], description="Canonical parameters")


def router(_: Context) -> APIRouter:
    """The resource `/index-categories`."""
    found = APIRouter(tags=["about"])

    @resource(found, "/index-categories", INDEX_CATEGORIES, TABULAR)
    def categories(request: Request, asked: Annotated[IndexCategoriesQuery, Query()]) -> Response:
        """Categories of the US EPA's and the European index, with bands, colours and advice."""
        return answer_in_form(request, asked.format, TABULAR, lambda: _categories(asked))

    return found


def _categories(asked: IndexCategoriesQuery) -> Answer:
    rows = index_categories().cast(plain_schema(INDEX_CATEGORIES))
    for column in ("index_name", "table_name"):
        if (value := getattr(asked, column)) is not None:
            rows = rows.filter(pl.col(column) == value)
    if asked.parameter:
        rows = rows.filter(pl.col("parameter").is_in(asked.parameter))
    return Answer(INDEX_CATEGORIES, rows)
