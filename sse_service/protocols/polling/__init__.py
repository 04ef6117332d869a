"""Long polling and polling: ``GET /events/poll``, and a page of events as JSON.

The query and the admission of a request are the same in every protocol, and are in ``protocols``.
"""
