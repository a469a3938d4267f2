"""Readings that devices push: what devices there are, windows over them, hours, spans, clocks."""
