"""A fast path for ReceiveMessage and DeleteMessageBatch that skips most of aiobotocore's work for each call.

Results are the same as aiobotocore's. All other requests, and all responses but plain successes, go through
aiobotocore.
"""
