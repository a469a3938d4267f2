"""A page of a table of the warehouse as an answer."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from aq_resources.documents.forms import TABULAR, Answer
from aq_science.tables.core import Table
from aq_serving.context import Context
from aq_serving.queries import TableQuery, equalities
from aq_serving.ranges import Bounds, Wanted, read_page
from aq_serving.resource import answer_in_form, key_of, page_of


def table_page(
    context: Context,
    request: Request,
    asked: TableQuery,
    table: Table,
    order: tuple[str, ...],
    bounds: Bounds | None,
    columns: tuple[str, ...],
) -> Response:
    """Answer by a page of a table.

    Args:
        context: For reading.
        request: For form, cursor and the address of the next page.
        asked: Its parameters.
        table: Of the warehouse.
        order: Columns by which pages are cut, the time first.
        bounds: Range of the first of them; None for all.
        columns: Columns of which the parameter of that name chooses values.

    Returns:
        The response.

    Raises:
        ProblemError: A parameter is wrong, or nothing can be read now.
    """
    key = key_of(request, asked, table, order)

    def answer() -> Answer:
        networks = context.directory.networks_with(asked.network, asked.station_id)
        chosen = list(equalities(asked, ("station_id", "parameter", *columns)))
        wanted = Wanted(order, [("network", networks), *chosen], bounds, key, asked.limit)
        rows = read_page(context.reader, table, wanted)
        return page_of(request, context, table, rows, order, asked.limit)

    return answer_in_form(request, asked.format, TABULAR, answer)
