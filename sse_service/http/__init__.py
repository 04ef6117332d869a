"""The HTTP applications of both ports, and what they share: session, probes, problem responses, sockets.

Code that depends on uvicorn's internals is in ``http.uvicorn``, and what a stream sends is in ``protocols``.
"""
