"""The networks that the sandbox speaks, one module each, found by being here.

A module offers `routes(sandbox)` and `environment(base_url, config)`.
"""
