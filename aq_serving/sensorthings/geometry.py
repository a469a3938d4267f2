"""Geometries of filters, as text (WKT), and what can be asked of points about them.

Degrees of longitude and latitude are taken as a plane, as FROST and QGIS take them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import polars as pl

from aq_serving.problems import bad_request

_MOST_VERTICES = 500
_LONGITUDE, _LATITUDE = pl.col("longitude"), pl.col("latitude")
_SHAPE = re.compile(
    r"\s*(?:SRID=4326;\s*)?(POINT|POLYGON)\s*(\(.*\))\s*", re.IGNORECASE | re.DOTALL
)

Position = tuple[float, float]


@dataclass(frozen=True)
class Shape:
    """A point, or a polygon.

    Attributes:
        rings: The boundary and the holes; of a point one ring of one position.
    """

    rings: Sequence[Sequence[Position]]

    @property
    def is_point(self) -> bool:
        return len(self.rings) == 1 and len(self.rings[0]) == 1


def parse_shape(text: str) -> Shape:
    """A point or a polygon from its text.

    Raises:
        ProblemError: It is none.

    >>> parse_shape("POINT (4.35 50.85)").rings
    [[(4.35, 50.85)]]
    """
    found = _SHAPE.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        kind, body = found[1].upper(), found[2].strip()
        if kind == "POINT":
            return Shape([[_position(_inner(body))]])
        rings = [_ring(part) for part in re.split(r"(?<=\))\s*,", _inner(body))]
    except ValueError:
        raise bad_request(
            "geography'…' is a POINT (longitude latitude) or a POLYGON ((longitude latitude, …)) "
            "whose last position is its first, in degrees.",
            "$filter",
        ) from None
    if sum(map(len, rings)) > _MOST_VERTICES:
        raise bad_request(f"A polygon may have {_MOST_VERTICES} vertices.", "$filter")
    return Shape(rings)


def within(shape: Shape) -> pl.Expr:
    """Whether a point lies in the shape."""
    if shape.is_point:
        longitude, latitude = shape.rings[0][0]
        return _LONGITUDE.eq(longitude) & _LATITUDE.eq(latitude)
    # A ray to the east crosses the rings an odd number of times.
    crossings = [
        _crosses(one, other)
        for ring in shape.rings
        for one, other in pairwise(ring)
        if one[1] != other[1]
    ]
    if not crossings:
        return pl.lit(value=False)
    return pl.sum_horizontal(crossings) % 2 == 1


def equals(shape: Shape) -> pl.Expr:
    """Whether a point is the shape.

    Raises:
        ProblemError: The shape is a polygon.
    """
    if not shape.is_point:
        raise bad_request("No place here is a polygon: st_within asks for those in one.", "$filter")
    return within(shape)


def distance(shape: Shape) -> pl.Expr:
    """Distance to a point, in degrees.

    Raises:
        ProblemError: The shape is a polygon.
    """
    if not shape.is_point:
        raise bad_request("geo.distance takes a point: geography'POINT (4.35 50.85)'.", "$filter")
    longitude, latitude = shape.rings[0][0]
    return ((_LONGITUDE - longitude) ** 2 + (_LATITUDE - latitude) ** 2).sqrt()


def _crosses(one: Position, other: Position) -> pl.Expr:
    (x, y), (to_x, to_y) = one, other
    spans = (y > _LATITUDE) != (to_y > _LATITUDE)
    return spans & (x + (_LATITUDE - y) * ((to_x - x) / (to_y - y)) > _LONGITUDE)


def _ring(text: str) -> list[Position]:
    ring = [_position(part) for part in _inner(text).split(",")]
    if len(ring) < 4 or ring[0] != ring[-1]:
        raise ValueError
    return ring


def _inner(text: str) -> str:
    text = text.strip()
    if not (text.startswith("(") and text.endswith(")")):
        raise ValueError
    return text[1:-1]


def _position(text: str) -> Position:
    longitude, latitude = (float(part) for part in text.split())
    if not (math.isfinite(longitude) and math.isfinite(latitude)):
        raise ValueError
    return longitude, latitude
