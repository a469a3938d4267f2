"""`$filter` and `$orderby` as expressions over the frames of entities.

What a request says ends up in an expression's literals: there is no text in which it could be taken
for anything else. A comparison over a relation is answered by the keys of the related entities that
fulfil it, for as many relations as the path has.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
from odata_query import ast

from aq_science.tables.types import INSTANT
from aq_serving.parsing import parse_instant
from aq_serving.problems import bad_request
from aq_serving.sensorthings import geometry, odata
from aq_serving.sensorthings.catalog import Catalog
from aq_serving.sensorthings.model import END, ENTITY_SETS, OBSERVATIONS, EntitySet, Kind, Relation

_FILTER = "$filter"
_TEXT = (Kind.text, Kind.link)
_ORDERED: dict[type, Callable[[Any, Any], pl.Expr]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_TURNED: dict[type, type] = {
    ast.Lt: ast.Gt,
    ast.LtE: ast.GtE,
    ast.Gt: ast.Lt,
    ast.GtE: ast.LtE,
}
_ARITHMETIC: dict[type, Callable[[Any, Any], pl.Expr]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
}


@dataclass(frozen=True, eq=False)
class Operand:
    """A value within a filter.

    Attributes:
        kind: What it is; None for null.
        value: Its expression; of an interval its start.
        end: End of an interval.
        shape: Of a geometry that the filter itself gives.
    """

    kind: Kind | None
    value: pl.Expr
    end: pl.Expr | None = None
    shape: geometry.Shape | None = None


@dataclass(frozen=True)
class Bounds:
    """Half-open bounds of the start of a time that a filter leaves.

    Attributes:
        start: The earliest; None without a bound.
        end: Before which; None without one.
    """

    start: datetime | None = None
    end: datetime | None = None

    def narrowed(self, other: Bounds) -> Bounds:
        """What both leave."""
        starts = [one for one in (self.start, other.start) if one is not None]
        ends = [one for one in (self.end, other.end) if one is not None]
        return Bounds(max(starts, default=None), min(ends, default=None))


EVERYWHEN = Bounds()


class Translator:
    """Filters of one set of entities."""

    def __init__(
        self,
        entities: EntitySet,
        catalog: Catalog,
        now: datetime,
        prefix: odata.Path = (),
    ) -> None:
        """Reads nothing.

        Args:
            entities: What the filter is of.
            catalog: The entities that relations lead to.
            now: The time that `now()` is.
            prefix: What every path begins with, and is left out.
        """
        self._entities = entities
        self._catalog = catalog
        self._now = now
        self._prefix = prefix
        self._depth = 0

    def conditions(self, tree: Any) -> list[pl.Expr]:
        """Conditions of which every one has to hold; each is true or false, never null.

        Raises:
            ProblemError: The filter means nothing here.
        """
        return [self.condition(part) for part in odata.conjuncts(tree)]

    def condition(self, node: Any) -> pl.Expr:
        """A node that is true or false.

        Raises:
            ProblemError: It is not, or means nothing here.
        """
        self._depth += 1
        if self._depth > odata.DEEPEST:
            raise bad_request("$filter is nested too deep.", _FILTER)
        try:
            return self._condition(node)
        finally:
            self._depth -= 1

    def order(self, path: odata.Path) -> tuple[pl.Expr, ...]:
        """What to sort by for a path of a property.

        Raises:
            ProblemError: There is no such property, or it cannot be sorted by.
        """
        relation = self._entities.relations.get(path[0])
        if relation is None:
            found = self._property(path)
            if found.kind in (Kind.point, Kind.json):
                raise bad_request(f"{'/'.join(path)} cannot be sorted by.", "$orderby")
            return (found.value,) if found.end is None else (found.value, found.end)
        if relation.many:
            raise bad_request(f"{path[0]} are several: sort by a property of one.", "$orderby")
        # To-one relations, by a mapping from key to value.
        target = self._catalog[relation.target]
        keyed = target.select(
            relation.target_key,
            *(one.alias(str(n)) for n, one in enumerate(self._related(relation).order(path[1:]))),
        )
        keys = keyed[relation.target_key]
        return tuple(
            pl.col(relation.source_key).replace_strict(keys, keyed[name], default=None)
            for name in keyed.columns[1:]
        )

    def constant(self, node: Any) -> datetime | None:
        """The instant that a node without a path is; None where it is something else.

        Raises:
            ProblemError: It means nothing.
        """
        found = self._operand(node)
        if found.kind is not Kind.instant:
            return None
        instant: datetime | None = pl.select(found.value).item()
        return instant

    # Conditions

    def _condition(self, node: Any) -> pl.Expr:
        match node:
            case ast.BoolOp(op=ast.And()):
                found = pl.all_horizontal(*map(self.condition, odata.conjuncts(node)))
            case ast.BoolOp():
                found = pl.any_horizontal(*map(self.condition, odata.alternatives(node)))
            case ast.UnaryOp(op=ast.Not()):
                found = ~self.condition(node.operand)
            case ast.Boolean():
                found = pl.lit(node.py_val)
            case ast.CollectionLambda():
                found = self._lambda(node)
            case ast.Compare() | ast.Call():
                found = self._of_one_entity(node)
            case _:
                raise bad_request(
                    "$filter is a condition, such as name eq 'x' or result gt 12.5.", _FILTER
                )
        return found

    def _of_one_entity(self, node: ast.Compare | ast.Call) -> pl.Expr:
        """A comparison or a function: of this entity, or of those that its paths lead to."""
        relation = self._relation_of(node)
        if relation is not None:
            name, found = relation
            inner = self._related(found, (*self._prefix, name))
            return self._with_keys(found, inner.condition(node))
        if isinstance(node, ast.Compare):
            return self._compare(node)
        return self._boolean(self._call(node))

    def _boolean(self, operand: Operand) -> pl.Expr:
        if operand.kind is not Kind.boolean:
            raise bad_request(
                "A function alone is a condition only if it is true or false.", _FILTER
            )
        return operand.value.fill_null(value=False)

    def _lambda(self, node: ast.CollectionLambda) -> pl.Expr:
        path = odata.path_of(node.owner) or ()
        names = path[len(self._prefix) :]
        if len(names) != 1 or path[: len(self._prefix)] != self._prefix:
            raise bad_request("any and all take a relation of the entity itself.", _FILTER)
        relation = self._relation(names[0])
        if node.lambda_ is None:
            return self._with_keys(relation, pl.lit(value=True))
        inner = self._related(relation, (odata.name_of(node.lambda_.identifier),))
        condition = inner.condition(node.lambda_.expression)
        if isinstance(node.operator, ast.All):
            return ~self._with_keys(relation, ~condition)
        return self._with_keys(relation, condition)

    def _relation_of(self, node: Any) -> tuple[str, Relation] | None:
        """The relation that all paths of a node begin with; None where none does.

        Raises:
            ProblemError: Some do, or with several.
        """
        heads = {self._own(path)[0] for path in odata.paths(node)}
        related = heads & self._entities.relations.keys()
        if not related:
            return None
        if len(heads) > 1:
            raise bad_request(
                "A comparison is about one entity: the paths of both sides begin alike "
                f"({', '.join(sorted(heads))}).",
                _FILTER,
            )
        [name] = related
        return name, self._relation(name)

    def _relation(self, name: str) -> Relation:
        found = self._entities.relations.get(name)
        if found is None:
            raise bad_request(f"{self._entities.name} have no relation {name[:100]}.", _FILTER)
        if found.target == OBSERVATIONS:
            raise bad_request(
                "Nothing is found by its Observations: ask for Observations, and filter them by "
                "Datastream/….",
                _FILTER,
            )
        return found

    def _related(self, relation: Relation, prefix: odata.Path = ()) -> Translator:
        return Translator(ENTITY_SETS[relation.target], self._catalog, self._now, prefix)

    def _with_keys(self, relation: Relation, condition: pl.Expr) -> pl.Expr:
        """Whether an entity is related to one that fulfils a condition."""
        fulfil = self._catalog[relation.target].filter(condition)[relation.target_key]
        keys = fulfil.drop_nulls().unique().to_list()
        return pl.col(relation.source_key).is_in(keys).fill_null(value=False)

    def _compare(self, node: ast.Compare) -> pl.Expr:
        if isinstance(node.comparator, ast.In):
            equal = [ast.Compare(ast.Eq(), node.left, one) for one in odata.values(node.right)]
            return pl.any_horizontal(*map(self._compare, equal))
        left, right, comparator = (
            self._operand(node.left),
            self._operand(node.right),
            node.comparator,
        )
        if left.kind is Kind.instant and right.kind is Kind.interval:
            left, right = right, left
            comparator = _turned(comparator)
        return _compared(left, comparator, right)

    # Operands

    def _operand(self, node: Any) -> Operand:
        self._depth += 1
        if self._depth > odata.DEEPEST:
            raise bad_request("$filter is nested too deep.", _FILTER)
        try:
            path = odata.path_of(node)
            if path is not None:
                return self._property(self._own(path))
            match node:
                case ast.Call():
                    return self._call(node)
                case ast.BinOp():
                    return self._arithmetic(node)
                case ast.UnaryOp(op=ast.USub()):
                    [value] = self._numbers([node.operand], "-")
                    return Operand(Kind.number, -value)
                case _:
                    return literal(node)
        finally:
            self._depth -= 1

    def _own(self, path: odata.Path) -> odata.Path:
        names = path[len(self._prefix) :]
        if path[: len(self._prefix)] != self._prefix or not names:
            raise bad_request(f"{'/'.join(path)[:100]} is no property here.", _FILTER)
        return names

    def _property(self, path: odata.Path) -> Operand:
        name = "/".join(path)
        if name in ("id", "@iot.id"):
            return Operand(Kind.text, pl.col("id"))
        kind = self._entities.properties.get(name)
        if kind is None or kind is Kind.json:
            known = ", ".join(
                [
                    "id",
                    *(
                        key
                        for key, one in self._entities.properties.items()
                        if one is not Kind.json
                    ),
                ]
            )
            raise bad_request(
                f"{self._entities.name} have no property {name[:100]} to filter or sort by; they "
                f"have {known}.",
            )
        if kind is Kind.point:
            return Operand(kind, pl.col("longitude"))
        if kind is Kind.interval:
            return Operand(kind, pl.col(name), pl.col(name + END))
        return Operand(kind, pl.col(name))

    def _arithmetic(self, node: ast.BinOp) -> Operand:
        left, right = self._operand(node.left), self._operand(node.right)
        if left.kind is Kind.instant and right.kind is Kind.duration:
            if not isinstance(node.op, ast.Add | ast.Sub):
                raise bad_request("A duration is added to an instant, or taken from it.", _FILTER)
            return Operand(Kind.instant, _ARITHMETIC[type(node.op)](left.value, right.value))
        for side in (left, right):
            _require(side, (Kind.number,), "Arithmetic")
        return Operand(Kind.number, _ARITHMETIC[type(node.op)](left.value, right.value))

    # Functions

    def _call(self, node: ast.Call) -> Operand:
        name = odata.name_of(node.func).casefold()
        if name == "now" and not node.args:
            return Operand(Kind.instant, pl.lit(self._now, INSTANT))
        for family in (_TEXT_FUNCTIONS, _NUMBER_FUNCTIONS, _TIME_FUNCTIONS):
            if name in family:
                return self._applied(name, node.args, *family[name])
        if name in _GEO_FUNCTIONS:
            return self._geo(name, node.args)
        raise bad_request(
            f"There is no function {name[:100]}; there are {', '.join(sorted(_FUNCTIONS))}.",
            _FILTER,
        )

    def _applied(
        self,
        name: str,
        nodes: Sequence[Any],
        kinds: Sequence[Sequence[Kind]],
        result: Kind,
        apply: Callable[..., pl.Expr],
    ) -> Operand:
        """A function applied to its arguments.

        Args:
            name: Of the function.
            nodes: Its arguments.
            kinds: What each may be.
            result: What comes of it.
            apply: Makes it of the arguments' expressions.

        Returns:
            The result.

        Raises:
            ProblemError: The arguments are others.
        """
        if len(nodes) != len(kinds):
            raise bad_request(f"{name} takes {len(kinds)} arguments.", _FILTER)
        operands = [self._operand(node) for node in nodes]
        for operand, allowed in zip(operands, kinds, strict=True):
            _require(operand, allowed, name)
        return Operand(result, apply(*(operand.value for operand in operands)))

    def _numbers(self, nodes: Sequence[Any], name: str) -> list[pl.Expr]:
        operands = [self._operand(node) for node in nodes]
        for operand in operands:
            _require(operand, (Kind.number,), name)
        return [operand.value for operand in operands]

    def _geo(self, name: str, nodes: Sequence[Any]) -> Operand:
        operands = [self._operand(node) for node in nodes]
        shapes = [operand.shape for operand in operands if operand.shape is not None]
        points = [one for one in operands if one.kind is Kind.point and one.shape is None]
        if len(operands) != 2 or len(shapes) != 1 or len(points) != 1:
            raise bad_request(
                f"{name} takes a place and a geometry: {name}(location, geography'POINT (4.35 "
                "50.85)'). Features of interest have feature in place of location.",
                _FILTER,
            )
        kind, apply = _GEO_FUNCTIONS[name]
        return Operand(kind, apply(shapes[0]))


def bounds_of(tree: Any, name: str, translator: Translator) -> Bounds:
    """What the conjuncts of a filter say of an instant, or of the start of an interval.

    Args:
        tree: The filter.
        name: Of the property.
        translator: For what it is compared with.

    Returns:
        Bounds outside which nothing fulfils the filter.
    """
    found = Bounds()
    for node in odata.conjuncts(tree):
        if not isinstance(node, ast.Compare) or isinstance(node.comparator, ast.In):
            continue
        sides = [(node.left, node.right, type(node.comparator))]
        sides.append(
            (node.right, node.left, _TURNED.get(type(node.comparator), type(node.comparator)))
        )
        for left, right, comparator in sides:
            if odata.path_of(left) == (name,) and not any(odata.paths(right)):
                found = found.narrowed(_bounds(comparator, translator.constant(right)))
    return found


def _turned(comparator: Any) -> Any:
    kind = _TURNED.get(type(comparator))
    return comparator if kind is None else kind()


def _bounds(comparator: type, instant: datetime | None) -> Bounds:
    if instant is None:
        return Bounds()
    behind = instant + timedelta(microseconds=1)
    found: dict[type, Bounds] = {
        ast.Gt: Bounds(start=instant),
        ast.GtE: Bounds(start=instant),
        ast.Lt: Bounds(end=instant),
        ast.LtE: Bounds(end=behind),
        ast.Eq: Bounds(instant, behind),
    }
    return found.get(comparator, EVERYWHEN)


def literal(node: Any) -> Operand:
    """A value that the filter itself gives.

    Raises:
        ProblemError: It is none.
    """
    make = _LITERALS.get(type(node))
    if make is None:
        raise bad_request("A comparison has a property or a value on each side.", _FILTER)
    return make(node)


def _text(node: Any) -> Operand:
    return Operand(Kind.text, pl.lit(node.val, pl.String))


def _numeric(node: Any) -> Operand:
    return Operand(Kind.number, pl.lit(_number(node.val)))


_LITERALS: dict[type, Callable[[Any], Operand]] = {
    ast.Null: lambda _: Operand(None, pl.lit(None)),
    ast.Boolean: lambda node: Operand(Kind.boolean, pl.lit(node.py_val)),
    ast.Integer: _numeric,
    ast.Float: _numeric,
    ast.String: _text,
    # A text without quotes that looks like one of these.
    ast.GUID: _text,
    ast.DateTime: lambda node: Operand(
        Kind.instant, pl.lit(parse_instant(node.val, _FILTER), INSTANT)
    ),
    ast.Date: lambda node: Operand(Kind.day, pl.lit(_day(node.val))),
    ast.Duration: lambda node: Operand(Kind.duration, pl.lit(_duration(node))),
    ast.Geography: lambda node: Operand(
        Kind.point, pl.lit(None), shape=geometry.parse_shape(node.val)
    ),
}


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise bad_request(f"{text[:40]} is too large a number.", _FILTER)
    return value


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise bad_request(f"There is no day {text}.", _FILTER) from None


def _duration(node: ast.Duration) -> timedelta:
    try:
        found: timedelta = node.py_val
    except (ValueError, OverflowError):
        raise bad_request(
            "duration'…' is one such as duration'P1D' or duration'PT6H'.", _FILTER
        ) from None
    if abs(found) > timedelta(days=36600):
        raise bad_request("A duration may have a hundred years.", _FILTER)
    return found


def _require(operand: Operand, kinds: Sequence[Kind], what: str) -> None:
    if operand.kind not in kinds or operand.shape is not None:
        wanted = " or ".join(kind.value for kind in kinds)
        given = "null" if operand.kind is None else operand.kind.value
        raise bad_request(f"{what} takes {wanted}, and this is {given}.", _FILTER)


def _compared(left: Operand, comparator: Any, right: Operand) -> pl.Expr:
    """Null is less and greater than nothing, and unlike everything but itself."""
    equality = isinstance(comparator, ast.Eq | ast.NotEq)
    if left.kind is Kind.interval and right.kind is Kind.instant:
        return _interval_compared(left, comparator, right)
    kinds = {Kind.text if one.kind in _TEXT else one.kind for one in (left, right)}
    values = kinds - {None}
    if len(values) > 1 or Kind.interval in values or (Kind.point in values and None not in kinds):
        names = " and ".join(sorted("null" if kind is None else kind.value for kind in kinds))
        raise bad_request(f"These cannot be compared: {names}.", _FILTER)
    if equality:
        negated = isinstance(comparator, ast.NotEq)
        return left.value.ne_missing(right.value) if negated else left.value.eq_missing(right.value)
    if None in kinds or Kind.boolean in kinds:
        raise bad_request("null, true and false are compared by eq and ne.", _FILTER)
    return _ORDERED[type(comparator)](left.value, right.value).fill_null(value=False)


def _interval_compared(left: Operand, comparator: Any, right: Operand) -> pl.Expr:
    """All of an interval before or after an instant; eq asks for its start."""
    start, end, instant = left.value, left.end, right.value
    if end is None:
        raise ValueError("an interval has an end")
    match comparator:
        case ast.Gt():
            return start > instant
        case ast.GtE():
            return start >= instant
        case ast.Lt() | ast.LtE():
            return end <= instant
        case ast.NotEq():
            return start != instant
        case _:
            return start == instant


_Function = tuple[Sequence[Sequence[Kind]], Kind, Callable[..., pl.Expr]]
_ONE_TEXT, _TWO_TEXTS = (_TEXT,), (_TEXT, _TEXT)
_NUMBER = ((Kind.number,),)
_TIME = ((Kind.instant, Kind.interval),)

_TEXT_FUNCTIONS: dict[str, _Function] = {
    "substringof": (
        _TWO_TEXTS,
        Kind.boolean,
        lambda part, text: text.str.contains(part, literal=True),
    ),
    "contains": (
        _TWO_TEXTS,
        Kind.boolean,
        lambda text, part: text.str.contains(part, literal=True),
    ),
    "startswith": (_TWO_TEXTS, Kind.boolean, lambda text, part: text.str.starts_with(part)),
    "endswith": (_TWO_TEXTS, Kind.boolean, lambda text, part: text.str.ends_with(part)),
    "length": (_ONE_TEXT, Kind.number, lambda text: text.str.len_chars().cast(pl.Float64)),
    "tolower": (_ONE_TEXT, Kind.text, lambda text: text.str.to_lowercase()),
    "toupper": (_ONE_TEXT, Kind.text, lambda text: text.str.to_uppercase()),
    "trim": (_ONE_TEXT, Kind.text, lambda text: text.str.strip_chars()),
    "concat": (_TWO_TEXTS, Kind.text, pl.concat_str),
}
_NUMBER_FUNCTIONS: dict[str, _Function] = {
    "round": (_NUMBER, Kind.number, lambda value: value.round()),
    "floor": (_NUMBER, Kind.number, lambda value: value.floor()),
    "ceiling": (_NUMBER, Kind.number, lambda value: value.ceil()),
}
_TIME_FUNCTIONS: dict[str, _Function] = {
    "year": (_TIME, Kind.number, lambda time: time.dt.year().cast(pl.Float64)),
    "month": (_TIME, Kind.number, lambda time: time.dt.month().cast(pl.Float64)),
    "day": (_TIME, Kind.number, lambda time: time.dt.day().cast(pl.Float64)),
    "hour": (_TIME, Kind.number, lambda time: time.dt.hour().cast(pl.Float64)),
    "minute": (_TIME, Kind.number, lambda time: time.dt.minute().cast(pl.Float64)),
    "second": (_TIME, Kind.number, lambda time: time.dt.second().cast(pl.Float64)),
    "date": (_TIME, Kind.day, lambda time: time.dt.date()),
}
_GEO_FUNCTIONS: dict[str, tuple[Kind, Callable[[geometry.Shape], pl.Expr]]] = {
    "geo.distance": (Kind.number, geometry.distance),
    "geo.intersects": (Kind.boolean, geometry.within),
    "st_intersects": (Kind.boolean, geometry.within),
    "st_within": (Kind.boolean, geometry.within),
    "st_equals": (Kind.boolean, geometry.equals),
    "st_disjoint": (Kind.boolean, lambda shape: ~geometry.within(shape)),
}
_FUNCTIONS = {"now", *_TEXT_FUNCTIONS, *_NUMBER_FUNCTIONS, *_TIME_FUNCTIONS, *_GEO_FUNCTIONS}
