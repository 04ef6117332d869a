"""The core: who gets which event, and how a stream gets from History to live.

It knows no HTTP and no encoding.
"""
