"""Server-Sent Events: ``GET /events``, and the bytes of an event stream.

The query and the admission of a stream are the same in every protocol, and are in ``protocols``.
"""
