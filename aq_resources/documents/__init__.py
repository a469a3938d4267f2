"""Rows as others get them: JSON, CSV, GeoJSON, Parquet and Arrow, with all that has to be known."""
