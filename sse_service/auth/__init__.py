"""Finds the Principal behind a request: each way to authenticate is one file here, or one room if it needs several.

This room knows no streams and sends no responses.
"""
