"""``sse-service doctor``: checks a deployment from inside one of its tasks and says how to fix what is wrong.

Each check is a module with the name of the line that it prints. ``run`` calls AWS and the checks in order. ``serve``
does not use this package.
"""
