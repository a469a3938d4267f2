"""When things run: sensors, schedules, automation and alerts, each a thin shell over a decision.

A decision is a pure function: the cursor and what was found come in, the new cursor and the runs to
request go out.
"""
