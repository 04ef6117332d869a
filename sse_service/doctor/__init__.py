"""``sse-service doctor``: checks a deployment from inside one of its tasks and says how to fix what is wrong.

It repairs nothing, and ``serve`` does not use it.
"""
