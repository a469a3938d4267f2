"""The spool: pushed readings on their way to the raw pulls, in one of two homes (`home`).

In files that are only added to, a segment is a file of frames that one process writes, of readings
of one UTC day::

    <spool>/date=YYYY-MM-DD/<stamp>-<process>-<number>.<state>

Its state is the end of its name: `open` while its writer adds to it and holds its lock, `ready`
once it is whole, `stored` once all of it is in the raw pulls, `done` once the tables that follow
from it are made too. A segment never changes after `open`, and each state follows by one rename:
so a kill at any moment leaves a segment in a state from which the next step can be done again.

In JetStream (`jetstream`) a segment is a range of sequences of one day's messages, cut by who first
looks, and its state is an entry of a bucket, changed only where no one has changed it meanwhile.
"""
