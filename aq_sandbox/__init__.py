"""Local HTTP servers that speak each network's contract, for the demo and the tests.

Nothing here imports the platform's own packages, so that it cannot share their mistakes. Import the
modules directly (`aq_sandbox.server` first of all): this package stays free of import-time work.
"""
