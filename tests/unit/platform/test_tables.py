"""Tables for the terminal: aligned, whole in a pipe, and as wide as a terminal if they can be."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from aq_platform.tables import LEAST_WIDTH, Column, print_table

NAME, VALUE, HOUR = Column("name", text=True), Column("n", numeric=True), Column("hour")


def printed(
    columns: list[Column], rows: list[tuple[Any, ...]], width: int | None = None, **more: Any
) -> tuple[list[str], int | None]:
    """The lines of a table, on a terminal of so many columns or in a pipe; and what was cut."""
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=width is not None, no_color=True)
    console._color_system = None
    cut = print_table(columns, rows, console, **more)
    return file.getvalue().splitlines(), cut


def test_numbers_stand_to_the_right_and_all_else_to_the_left() -> None:
    lines, cut = printed([NAME, VALUE], [("a", 1), ("µg/m³", 1234.5678), (None, None)])
    assert cut is None
    assert lines == [
        "┌───────┬─────────┐",
        "│ name  │       n │",
        "├───────┼─────────┤",
        "│ a     │       1 │",
        "│ µg/m³ │ 1234.57 │",
        "│       │         │",
        "└───────┴─────────┘",
    ]


def test_types_stand_below_the_names_and_a_mark_where_rows_are_left_out() -> None:
    lines, _ = printed([Column("n", numeric=True, kind="bigint")], [(1,)], last=[(10_000_000,)])
    assert lines == [
        "┌──────────┐",
        "│        n │",
        "│   bigint │",
        "├──────────┤",
        "│        1 │",
        "│        ⋮ │",
        "│ 10000000 │",
        "└──────────┘",
    ]


def test_a_value_is_one_line_of_text_whatever_it_is() -> None:
    values = ("a\nb\tc", "\x1b[31m", [1.5, None, "x"], {"day": date(2024, 3, 1)}, True)
    lines, _ = printed([NAME], [(value,) for value in values])
    assert [line.strip("│ ") for line in lines[3:-1]] == [
        "a\\nb\\tc",
        "\\u001b[31m",
        "[1.5, None, x]",
        "{day: 2024-03-01}",
        "True",
    ]


def test_texts_alone_are_cut_on_a_narrow_terminal_and_in_no_pipe() -> None:
    rows = [("x" * 60, 123_456_789, datetime(2024, 3, 1, tzinfo=UTC)), ("東" * 30, 1, None)]
    columns = [NAME, VALUE, HOUR]
    lines, cut = printed(columns, rows, width=60)
    assert cut is not None
    assert {cell_len(line) for line in lines} == {60}
    assert "x" * (cut - 1) + "…" in lines[3]
    assert "123456789" in lines[3]
    assert "2024-03-01 00:00:00+00:00" in lines[3]
    whole, cut = printed(columns, rows)
    assert cut is None
    assert "x" * 60 in whole[3]


@example([("a\u2028b", 1.0, "c\u2029\n")], None)
@given(
    st.lists(st.tuples(st.text(max_size=30), st.floats(), st.text(max_size=30)), max_size=5),
    st.one_of(st.none(), st.integers(20, 200)),
)
def test_every_line_is_as_wide_as_the_others(
    rows: list[tuple[Any, ...]], width: int | None
) -> None:
    columns = [NAME, VALUE, Column("other", text=True)]
    lines, cut = printed(columns, rows, width)
    assert len({cell_len(line) for line in lines}) == 1
    assert len(lines) == len(rows) + 4
    if cut is not None:
        assert cut >= LEAST_WIDTH
    if cut is not None and cut > LEAST_WIDTH:
        assert width is not None
        assert cell_len(lines[0]) <= width
