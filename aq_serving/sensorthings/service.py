"""Answers of the SensorThings API: from a path and query options to entities.

An answer takes as many steps as it has relations, however many entities there are: what a relation
leads to is found for all of them at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from aq_serving import cursors
from aq_serving.context import Context
from aq_serving.problems import bad_request, not_found
from aq_serving.sensorthings import odata
from aq_serving.sensorthings.bodies import Entity, Related, entities
from aq_serving.sensorthings.catalog import Catalog, CatalogCache
from aq_serving.sensorthings.filters import Bounds, Translator, bounds_of
from aq_serving.sensorthings.identifiers import parse_observation
from aq_serving.sensorthings.model import ENTITY_SETS, OBSERVATIONS, EntitySet, Relation
from aq_serving.sensorthings.observations import ORDER, SCHEMA, Observations, Wanted
from aq_serving.sensorthings.options import Options

_STREAMS = "Datastreams"
# The identifier of an average has a date, whose local day may begin the day before or after.
_AROUND = timedelta(days=2)
_OF_STREAM = {"_datastream", "_feature"}
_BY_TIME = ("phenomenonTime",)


@dataclass(frozen=True, eq=False)
class Selected:
    """Entities of one set.

    Attributes:
        kind: Their set.
        rows: Their frame; of Observations that of the Datastreams they belong to.
        key: Identifier of an Observation.
    """

    kind: EntitySet
    rows: pl.DataFrame
    key: str | None = None


@dataclass(frozen=True, eq=False)
class Page:
    """A page of entities.

    Attributes:
        kind: Their set.
        rows: Their frame.
        count: How many there are altogether; None where that was not asked.
        following: Options of the next page, that are others; None on the last.
    """

    kind: EntitySet
    rows: pl.DataFrame
    count: int | None = None
    following: Mapping[str, str] | None = None


class Service:
    """Finds entities."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._catalogs = CatalogCache(context.reader, context.directory)
        self._observations = Observations(context.reader)

    def query(self) -> Query:
        """A request's view of the entities: the same ones to its end.

        Raises:
            ProblemError: They cannot be read now.
        """
        return Query(self._catalogs.current(), self._observations, self._context.now())


class Query:
    """What one request asks."""

    def __init__(self, catalog: Catalog, observations: Observations, now: datetime) -> None:
        self._catalog = catalog
        self._observations = observations
        self._now = now

    # Ways to entities

    def all_of(self, kind: EntitySet) -> Selected:
        """A whole set."""
        name = _STREAMS if kind.name == OBSERVATIONS else kind.name
        return Selected(kind, self._catalog[name])

    def one_of(self, selected: Selected, key: str) -> Selected:
        """The entity of an identifier.

        Raises:
            ProblemError: There is none.
        """
        if selected.kind.name == OBSERVATIONS:
            parts = parse_observation(key)
            stream = "" if parts is None else parts.datastream
            rows = selected.rows.filter(pl.col("id") == stream)
        else:
            rows = selected.rows.filter(pl.col("id") == key)
        found = Selected(selected.kind, rows, key)
        if rows.is_empty():
            raise not_found(f"There is no {selected.kind.name}('{key[:100]}') here.")
        return found

    def related(self, selected: Selected, relation: Relation) -> Selected:
        """What a relation of an entity leads to.

        Raises:
            ProblemError: There is no such entity, or nothing.
        """
        rows = self.rows_of(selected)
        keys = rows[relation.source_key].drop_nulls().to_list()
        target = ENTITY_SETS[relation.target]
        if target.name == OBSERVATIONS:
            column = "id" if relation.target_key == "_datastream" else relation.target_key
            return Selected(target, self._catalog[_STREAMS].filter(pl.col(column).is_in(keys)))
        found = self._catalog[target.name].filter(pl.col(relation.target_key).is_in(keys))
        if not relation.many and found.is_empty():
            raise not_found("There is nothing there.")
        return Selected(target, found)

    def rows_of(self, selected: Selected) -> pl.DataFrame:
        """The frame of an entity that a path names.

        Raises:
            ProblemError: There is no such entity.
        """
        if selected.kind.name != OBSERVATIONS:
            return selected.rows
        parts = None if selected.key is None else parse_observation(selected.key)
        if parts is None:
            raise not_found("There is no such Observation.")
        bounds = Bounds(parts.around - _AROUND, parts.around + _AROUND)
        wanted = Wanted(selected.rows, bounds, [pl.col("id") == selected.key])
        rows = self._observations.by_time(wanted, 1)
        if rows.is_empty():
            raise not_found(f"There is no Observations('{str(selected.key)[:100]}').")
        return rows

    # Pages

    def page(self, selected: Selected, options: Options, scope: cursors.Scope) -> Page:
        """A page of what is selected.

        Args:
            selected: Entities.
            options: Which of them, and in which order.
            scope: What a place in the pages belongs to.

        Returns:
            The page.

        Raises:
            ProblemError: The options mean nothing here, or nothing can be read now.
        """
        if selected.kind.name == OBSERVATIONS:
            return self._observations_page(selected, options, scope)
        if options.token is not None:
            raise bad_request("$skiptoken is of Observations alone.", "$skiptoken")
        rows = self._sorted(
            self._filtered(selected.kind, selected.rows, options), options, selected.kind
        )
        shown = rows.slice(options.skip, options.limit)
        end = options.skip + shown.height
        more = end < rows.height and options.limit > 0
        following = {"skip": str(end)} if more else None
        return Page(selected.kind, shown, rows.height if options.count else None, following)

    def _filtered(self, kind: EntitySet, rows: pl.DataFrame, options: Options) -> pl.DataFrame:
        if options.filter is None:
            return rows
        tree = odata.parse(options.filter)
        return rows.filter(self._translator(kind).conditions(tree))

    def _sorted(self, rows: pl.DataFrame, options: Options, kind: EntitySet) -> pl.DataFrame:
        keys = self._sort_keys(kind, options)
        if not keys:
            # As the catalog has them.
            return rows
        return rows.sort(
            [*(key for key, _ in keys), pl.col("id")],
            descending=[*(turned for _, turned in keys), False],
            nulls_last=True,
        )

    def _sort_keys(self, kind: EntitySet, options: Options) -> list[tuple[pl.Expr, bool]]:
        translator = self._translator(kind)
        return [(key, turned) for path, turned in options.orderby for key in translator.order(path)]

    def _translator(self, kind: EntitySet) -> Translator:
        return Translator(kind, self._catalog, self._now)

    # Observations

    def _observations_page(
        self, selected: Selected, options: Options, scope: cursors.Scope
    ) -> Page:
        wanted = self._wanted(selected, options)
        count = self._observations.count(wanted) if options.count else None
        direction = _direction(options, wanted.streams)
        needed = options.skip + options.limit + 1
        if direction is None:
            if options.token is not None:
                raise bad_request("$skiptoken belongs to Observations by time.", "$skiptoken")
            keys = self._sort_keys(selected.kind, options)
            rows = self._observations.sorted_by(wanted, needed, keys)
        else:
            wanted = _behind(wanted, options, scope, descending=direction)
            rows = self._observations.by_time(wanted, needed, descending=direction)
        shown = rows.slice(options.skip, options.limit)
        following: dict[str, str] | None = None
        if rows.height == needed and options.limit > 0:
            following = {"skip": str(options.skip + options.limit)}
            if direction is not None:
                key = shown.select(ORDER).row(-1)
                following = {"skiptoken": cursors.encode(key, scope)}
        return Page(selected.kind, shown, count, following)

    def _wanted(self, selected: Selected, options: Options) -> Wanted:
        """The Datastreams, times and conditions that a filter comes to."""
        streams = selected.rows
        conditions: list[pl.Expr] = []
        bounds = Bounds()
        if selected.key is not None:
            conditions.append(pl.col("id") == selected.key)
        if options.filter is None:
            return Wanted(streams, bounds, conditions)
        tree = odata.parse(options.filter)
        translator = self._translator(selected.kind)
        as_observations = streams.select(pl.col("id").alias("_datastream"), "_feature")
        for condition in translator.conditions(tree):
            names = set(condition.meta.root_names())
            if names and names <= _OF_STREAM:
                # Said of the Datastream alone: so by it, before anything is read.
                kept = as_observations.filter(condition)["_datastream"]
                streams = streams.filter(pl.col("id").is_in(kept.to_list()))
            else:
                conditions.append(condition)
        bounds = bounds_of(tree, "phenomenonTime", translator)
        if set(streams["properties/series"]) <= {"hourly", "daily"}:
            made = bounds_of(tree, "resultTime", translator)
            # A result is there when its hour or day ends.
            begun = None if made.start is None else made.start - _AROUND
            bounds = bounds.narrowed(Bounds(begun, made.end))
        return Wanted(streams, bounds, conditions)

    # Expansion

    def show(
        self, base: str, kind: EntitySet, rows: pl.DataFrame, options: Options
    ) -> list[Entity]:
        """Rows as entities, with all that is to be expanded.

        Args:
            base: Address of the root.
            kind: What they are.
            rows: Their frame.
            options: What of them is shown.

        Returns:
            An entity a row.

        Raises:
            ProblemError: An option means nothing there, or nothing can be read now.
        """
        expanded = {
            name: self._expand(base, kind.relations[name], rows, inner)
            for name, inner in options.expand.items()
        }
        return entities(base, kind, rows, options, expanded)

    def _expand(
        self, base: str, relation: Relation, rows: pl.DataFrame, options: Options
    ) -> Related:
        keys = rows[relation.source_key].drop_nulls().unique(maintain_order=True)
        kind = ENTITY_SETS[relation.target]
        if kind.name == OBSERVATIONS:
            found, counts = self._expanded_observations(relation, keys, options)
        else:
            chosen = self._catalog[kind.name].filter(
                pl.col(relation.target_key).is_in(keys.to_list())
            )
            found = self._sorted(self._filtered(kind, chosen, options), options, kind)
            counts = dict(found.group_by(relation.target_key).len().iter_rows())
        owner, place = pl.col(relation.target_key), pl.int_range(pl.len()).over(relation.target_key)
        # To-one relations have no pages.
        limit = options.limit if relation.many else 1
        skip = options.skip if relation.many else 0
        last = skip + limit
        more = (
            found.filter(place >= last).select(owner.unique()).to_series().to_list()
            if limit
            else []
        )
        shown = found.filter(place.is_between(skip, last, closed="left"))
        made = self.show(base, kind, shown, options)
        by_key: dict[str, list[Any]] = {}
        for key, entity in zip(shown[relation.target_key], made, strict=True):
            by_key.setdefault(key, []).append(entity)
        return Related(by_key, frozenset(more), counts)

    def _expanded_observations(
        self, relation: Relation, keys: pl.Series, options: Options
    ) -> tuple[pl.DataFrame, dict[str, int]]:
        column = "id" if relation.target_key == "_datastream" else relation.target_key
        streams = self._catalog[_STREAMS].filter(pl.col(column).is_in(keys.to_list()))
        if options.count:
            raise bad_request(
                "$count of Observations is answered where they are asked for themselves: "
                "Datastreams('…')/Observations?$count=true.",
                "$expand",
            )
        wanted = self._wanted(Selected(ENTITY_SETS[OBSERVATIONS], streams), options)
        if wanted.streams.is_empty():
            return SCHEMA.to_frame(), {}
        direction = _direction(options, wanted.streams)
        if direction is None:
            raise bad_request(
                "Observations within $expand are sorted by phenomenonTime alone.", "$expand"
            )
        each = options.skip + options.limit + 1
        rows = self._observations.by_parent(wanted, relation.target_key, each, descending=direction)
        return rows, {}


def _direction(options: Options, streams: pl.DataFrame) -> bool | None:
    """Whether Observations are wanted newest first; None where by something else than time."""
    if not options.orderby:
        return False
    (path, turned), *further = options.orderby
    # Of hours, what is made later is of later.
    by_time = path == _BY_TIME or (
        path == ("resultTime",) and set(streams["properties/series"]) <= {"hourly"}
    )
    return turned if by_time and not further else None


def _behind(wanted: Wanted, options: Options, scope: cursors.Scope, *, descending: bool) -> Wanted:
    """What is left behind the page that a token ends."""
    if options.token is None:
        return wanted
    start, key = cursors.decode(options.token, scope, [SCHEMA[name] for name in ORDER])
    time = pl.col(ORDER[0])
    later = time < start if descending else time > start
    condition = later | ((time == start) & (pl.col("id") > key))
    edge = timedelta(microseconds=1)
    narrowed = Bounds(end=start + edge) if descending else Bounds(start=start)
    return Wanted(wanted.streams, wanted.bounds.narrowed(narrowed), [*wanted.conditions, condition])
