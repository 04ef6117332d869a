"""Finds the Principal behind a request: each way to authenticate is one file, with one class.

This room knows no streams and sends no responses.
"""
