"""What clients speak: each protocol is a package that translates between requests and streams.

Who gets which event, and when, is decided in ``streams``.
"""
