"""Everything that depends on uvicorn's internals.

It has no routes and no application: those are in ``http``.
"""
