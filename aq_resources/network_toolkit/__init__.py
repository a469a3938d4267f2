"""What the clients of the networks share: nothing here knows a network.

`pulls`: asking. `bodies`: from an answer's body to its records and numbers. `rows`: from records
to versions.
"""
