"""When things run: sensors, schedules and automation, each a thin shell over a pure decision.

None yet: runs are started from the UI and the `aq` command.
"""
