"""The warehouse: tables in DuckDB on DuckLake."""
