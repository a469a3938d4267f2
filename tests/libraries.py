"""Tests that need a library which may not load: its system library is not everywhere."""

from __future__ import annotations

import importlib

import pytest


def needs_lightgbm() -> None:
    """Skip the module's tests where LightGBM does not load (Debian: libgomp1, macOS: libomp)."""
    try:
        importlib.import_module("lightgbm")
    except OSError as error:
        pytest.skip(f"LightGBM does not load: {error}", allow_module_level=True)
