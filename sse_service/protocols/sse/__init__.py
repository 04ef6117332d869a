"""Server-Sent Events: ``GET /events``, and the bytes of an event stream."""
