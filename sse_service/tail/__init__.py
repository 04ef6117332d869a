"""``sse-service tail``: prints a user's events in a terminal, as any client would get them.

It speaks HTTP to a running service, and shares no code with its protocols.
"""
