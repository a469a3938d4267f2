"""How long anything is waited for: a wait ends with what it is for, or as the failure of a test.

Nothing says how fast a machine is. Only a stuck thing takes so long.
"""

PATIENCE_S = 1800.0
