"""Dagster's own storage: the event log and its history. Alone in importing `dagster._*`.

What it needs of those modules is listed, name by name, in `test_dagster_canary.py`.
"""
