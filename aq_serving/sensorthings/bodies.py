"""Entities as the standard's JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
import polars as pl

from aq_serving.sensorthings.addresses import ROOT, entity_address
from aq_serving.sensorthings.model import END, POINT, EntitySet, Kind
from aq_serving.sensorthings.options import Options

# The standard's own, where `$select` names no others.
_COMPONENTS = ("id", "phenomenonTime", "resultTime", "result", "resultQuality", "parameters")
_CONTROL = {"id": "@iot.id", "@iot.id": "@iot.id", "@iot.selfLink": "@iot.selfLink"}

Entity = dict[str, Any]


@dataclass(frozen=True)
class Related:
    """What `$expand` found of one relation.

    Attributes:
        by_key: Entities by the value of the relation's column.
        more: Values of which there are more.
        counts: How many there are, by the value; empty where that was not asked.
    """

    by_key: Mapping[str, Sequence[Entity]]
    more: frozenset[str] = frozenset()
    counts: Mapping[str, int] = field(default_factory=dict)


def entities(
    base: str,
    kind: EntitySet,
    rows: pl.DataFrame,
    options: Options,
    expanded: Mapping[str, Related],
) -> list[Entity]:
    """Rows as entities.

    Args:
        base: Address of the root.
        kind: What they are.
        rows: In its columns.
        options: What of them is shown.
        expanded: What was found of the relations that `$expand` names.

    Returns:
        An entity a row.
    """
    chosen = None if options.select is None else set(options.select)
    shown = [
        (name, what)
        for name, what in kind.properties.items()
        if chosen is None or name in chosen or name.partition("/")[0] in chosen
    ]
    control = [
        name
        for name in ("@iot.id", "@iot.selfLink")
        if chosen is None or name in {_CONTROL.get(one) for one in chosen}
    ]
    relations = [
        name
        for name in kind.relations
        if (chosen is None and name not in expanded) or (chosen is not None and name in chosen)
    ]
    made = []
    for row in rows.iter_rows(named=True):
        address = entity_address(base, kind.name, row["id"])
        entity: Entity = dict(
            zip(
                control,
                [{"@iot.id": row["id"], "@iot.selfLink": address}[n] for n in control],
                strict=True,
            )
        )
        for name, what in shown:
            _put(entity, name, value_of(base, row, name, what))
        entity |= {f"{name}@iot.navigationLink": f"{address}/{name}" for name in relations}
        for name, related in expanded.items():
            entity |= _expansion(kind, name, related, row, f"{address}/{name}", options)
        made.append(entity)
    return made


def _expansion(
    kind: EntitySet,
    name: str,
    related: Related,
    row: Mapping[str, Any],
    address: str,
    options: Options,
) -> Entity:
    """What an entity shows of a relation.

    Args:
        kind: What the entity is.
        name: Of the relation.
        related: What was found.
        row: The entity's.
        address: Of what is related to it.
        options: Of the entity.

    Returns:
        Members to add.
    """
    relation = kind.relations[name]
    key = row[relation.source_key]
    found = related.by_key.get(key, [])
    if not relation.many:
        return {name: found[0] if found else None}
    members: Entity = {name: found}
    inner = options.expand[name]
    if inner.count:
        members[f"{name}@iot.count"] = related.counts.get(key, 0)
    if key in related.more:
        members[f"{name}@iot.nextLink"] = address + inner.query(skip=str(inner.skip + len(found)))
    return members


def value_of(base: str, row: Mapping[str, Any], name: str, kind: Kind) -> Any:
    """A property's value as JSON has it.

    Args:
        base: Address of the root.
        row: The entity's.
        name: Of the property.
        kind: What it is.

    Returns:
        The value.
    """
    if kind is Kind.point:
        return _point(row)
    value = row[name]
    if value is None:
        return None
    if kind is Kind.interval:
        return f"{_instant(value)}/{_instant(row[name + END])}"
    if kind is Kind.instant:
        return _instant(value)
    if kind is Kind.json:
        return msgspec.Raw(value.encode())
    return base.removesuffix(ROOT) + value if kind is Kind.link else value


def _point(row: Mapping[str, Any]) -> Entity:
    position = [row[name] for name in POINT]
    if None in position:
        # What GeoJSON has for a thing without a place (RFC 7946, 3.2).
        return {"type": "Feature", "geometry": None, "properties": {}}
    return {"type": "Point", "coordinates": position}


def _instant(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")


def _put(entity: Entity, name: str, value: Any) -> None:
    """Set a property, which may be one within another."""
    outer, _, inner = name.partition("/")
    if not inner:
        entity[outer] = value
    elif value is not None:
        entity.setdefault(outer, {})[inner] = value


def data_arrays(base: str, rows: pl.DataFrame, kind: EntitySet, options: Options) -> list[Entity]:
    """Observations as arrays, one a Datastream.

    Args:
        base: Address of the root.
        rows: Observations.
        kind: What they are.
        options: `$select` says which members.

    Returns:
        The arrays, in the order of the rows.
    """
    wanted = options.select or _COMPONENTS
    components = [
        "id" if name in ("@iot.id", "id") else name
        for name in wanted
        if name in ("@iot.id", "id") or name in kind.properties
    ]
    return [
        {
            "Datastream@iot.navigationLink": entity_address(base, "Datastreams", str(stream)),
            "components": components,
            "dataArray@iot.count": part.height,
            "dataArray": list(_arrays(base, part, kind, components)),
        }
        for (stream,), part in rows.group_by("_datastream", maintain_order=True)
    ]


def _arrays(
    base: str, rows: pl.DataFrame, kind: EntitySet, components: Sequence[str]
) -> Iterator[list[Any]]:
    for row in rows.iter_rows(named=True):
        yield [
            row["id"] if name == "id" else value_of(base, row, name, kind.properties[name])
            for name in components
        ]


def references(base: str, kind: EntitySet, rows: pl.DataFrame) -> list[Entity]:
    """Addresses of entities alone.

    Args:
        base: Address of the root.
        kind: What they are.
        rows: Their frame.

    Returns:
        An address a row, as the standard wraps it.
    """
    return [{"@iot.selfLink": entity_address(base, kind.name, key)} for key in rows["id"]]
