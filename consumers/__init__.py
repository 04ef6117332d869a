"""Reads queues and hands each message to a Handler as an Envelope.

It knows nothing of HTTP, streams or users, and does not import ``sse_service``.
"""
