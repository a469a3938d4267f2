"""One expression for rows of many parameters."""

from __future__ import annotations

import polars as pl


def by_parameter(parameter: pl.Expr, choices: dict[str, pl.Expr], otherwise: pl.Expr) -> pl.Expr:
    """The expression that belongs to each row's parameter.

    Args:
        parameter: the row's parameter.
        choices: expression by parameter.
        otherwise: for every other parameter.

    Returns:
        One expression for all rows.
    """
    chosen = otherwise
    for name, expression in choices.items():
        chosen = pl.when(parameter == name).then(expression).otherwise(chosen)
    return chosen
