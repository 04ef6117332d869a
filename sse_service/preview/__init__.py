"""``sse-service route``: says what the service would make of a message.

It stores nothing and sends nothing.
"""
