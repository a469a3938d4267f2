"""Is there a value at all: absent, not a number, in an unknown unit, or a code for "no value"."""

from __future__ import annotations

from collections.abc import Collection

import polars as pl

from aq_science.quality.core import NOTHING, Criterion

_VALUE, _NATIVE = pl.col("value"), pl.col("value_native")


def no_value() -> Criterion:
    """Fires where `value_native` is null, but was not taken back (`status` is `withdrawn`).

    >>> from aq_science.tables.types import STATUS
    >>> readings = pl.DataFrame({"value_native": [1.0, None, float("nan")]}).with_columns(
    ...     status=pl.lit(None, STATUS)
    ... )
    >>> readings.select(no_value().fires).to_series().to_list()
    [False, True, False]
    """
    return Criterion(_NATIVE.is_null() & pl.col("status").ne_missing("withdrawn"), _NATIVE, NOTHING)


def not_finite() -> Criterion:
    """Fires where `value_native` is NaN or infinite.

    >>> readings = pl.DataFrame({"value_native": [1.0, None, float("nan"), float("-inf")]})
    >>> readings.select(not_finite().fires).to_series().to_list()
    [False, None, True, True]
    """
    return Criterion(~_NATIVE.is_finite(), _NATIVE, NOTHING)


def unknown_unit() -> Criterion:
    """Fires where `value_native` is finite and `value` is null: it could not be converted.

    >>> readings = pl.DataFrame({"value": [None, 2.0], "value_native": [2.0, 2.0]})
    >>> readings.select(unknown_unit().fires).to_series().to_list()
    [True, False]
    """
    return Criterion(_NATIVE.is_finite() & _VALUE.is_null(), _NATIVE, NOTHING)


def sentinel(codes: Collection[float]) -> Criterion:
    """Fires where `value_native` is one of `codes`, which stand for "no value".

    >>> readings = pl.DataFrame({"value_native": [-999.0, 999.0]})
    >>> readings.select(sentinel([-999.0]).fires).to_series().to_list()
    [True, False]
    """
    return Criterion(_NATIVE.is_in(list(codes)), _NATIVE, _NATIVE)
