"""`aq devices mqtt`: from a broker into the spool.

The broker keeps a session under a fixed client id, and sends again what was not acknowledged. A
message is acknowledged once what it brought is durable, refusals included: so a kill of this
process or a restart of the broker costs nothing that was published with QoS 1 and that the broker
has on its disk.
"""
