"""Verifies signed tokens (JWT), whether they come by a header or a cookie: the signature first, then the claims.

Shared secrets are here; the keys of identity providers are in ``providers``.
"""
