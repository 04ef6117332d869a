"""WebSocket: ``GET /ws``, its handshake, and the messages and frames of a connection (RFC 6455).

The query and the admission of a stream are the same in every protocol, and are in ``protocols``.
"""
