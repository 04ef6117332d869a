"""``sse-service whoami``: says how ``serve`` would judge a token, and why, on the operator's own terminal.

It never prints the token, its signature or a key, and it decides nothing itself: ``identity.py`` makes the verifier.
"""
