"""A fast path for ReceiveMessage and DeleteMessageBatch that skips most of aiobotocore's work for each call.

All other requests, and all responses but plain successes, go through aiobotocore, with the same results.
"""
