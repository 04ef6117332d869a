"""WebSocket (RFC 6455): ``GET /ws``, and events as JSON text messages.

The query and the admission of a request are the same in every protocol, and are in ``protocols``.
"""
