"""``sse-service doctor``: checks a deployment from inside one of its tasks and says how to fix what is wrong.

One module per check, named after the line that it prints; ``run`` asks AWS and calls them in order. Nothing here runs
while the service serves.
"""
