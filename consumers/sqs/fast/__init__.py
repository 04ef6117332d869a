"""A fast path through aiobotocore for ReceiveMessage and DeleteMessageBatch.

It does nothing that aiobotocore does not do; every other request, and every unclear reply, goes through aiobotocore.
"""
