"""`@asset`, `@asset_check` and `@multi_asset_check`: Dagster's, with failures that it understands.

Every asset and check is declared by these, so that no body has to translate what it raises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dagster as dg

from aq_resources.run_failures import failing_as_dagster

Body = Callable[..., Any]


def asset(**described: Any) -> Callable[[Body], dg.AssetsDefinition]:
    """As `dg.asset`."""
    declare = dg.asset(**described)
    return lambda body: declare(failing_as_dagster(body))


def asset_check(**described: Any) -> Callable[[Body], dg.AssetChecksDefinition]:
    """As `dg.asset_check`."""
    declare = dg.asset_check(**described)
    return lambda body: declare(failing_as_dagster(body))


def multi_asset_check(**described: Any) -> Callable[[Body], dg.AssetChecksDefinition]:
    """As `dg.multi_asset_check`."""
    declare = dg.multi_asset_check(**described)
    return lambda body: declare(failing_as_dagster(body))
