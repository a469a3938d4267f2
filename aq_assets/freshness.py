"""How recent a network's readings must be."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from aq_resources.network_settings import NetworkConfig


def allowed_silence(config: NetworkConfig) -> timedelta:
    """How old the newest readings may become."""
    return timedelta(hours=config.silent_after_hours)


def freshness_policy(config: NetworkConfig) -> dg.FreshnessPolicy:
    """Fails when nothing was materialized for as long as the network may be silent."""
    allowed = allowed_silence(config)
    return dg.FreshnessPolicy.time_window(fail_window=allowed, warn_window=allowed / 2)
