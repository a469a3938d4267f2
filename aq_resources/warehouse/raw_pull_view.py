"""Raw pulls as rows: the SQL that reads their compressed JSON lines where they lie."""

from __future__ import annotations

# A line holds an answer as it came; DuckDB's own limit of 16 MB is below what a network may send.
_LONGEST_LINE = 64 * 1024 * 1024
_FIELDS = (
    '{"url": "VARCHAR", "params": "JSON", "window": ["TIMESTAMPTZ"], "pulled_at": "TIMESTAMPTZ", '
    '"received_at": "TIMESTAMPTZ", "status": "INTEGER", "body": "VARCHAR"}'
)


def raw_pull_rows(network: str, files: str) -> str:
    """SQL that gives a row with the columns of `RAW_PULLS` for each line.

    DuckDB numbers no lines of JSON. It reads file after file, each from its beginning, and a number
    over all of them keeps that order; one that counts within each file does not (measured with
    1.5.5: 9,000 of 135,000 lines had another's number).

    `files` is a pattern as a literal of SQL.
    """
    return f"""
        SELECT '{network}' AS network, folder[6:15]::DATE AS first_day,
            right(folder, 10)::DATE AS last_day, said.pulled_at, said.received_at, said.url,
            said.params::VARCHAR AS params, said."window"[1] AS window_start,
            said."window"[2] AS window_end, said.status, strlen(said.body) AS body_bytes, said.body,
            sha256(json) AS sha256, filename AS uri,
            number - min(number) OVER (PARTITION BY filename) + 1 AS line
        FROM (
            SELECT json, filename, string_split(filename, '/')[-2] AS folder,
                from_json(json, '{_FIELDS}') AS said, row_number() OVER () AS number
            FROM read_ndjson_objects(
                {files}, filename = true, maximum_object_size = {_LONGEST_LINE})
        )"""
