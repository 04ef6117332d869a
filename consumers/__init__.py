"""Reads queues and hands each message to a Handler as an Envelope.

Knows nothing of HTTP, streams or users, and does not import ``sse_service``. README.md is the guide for maintainers.
"""
