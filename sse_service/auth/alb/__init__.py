"""Trusts an Application Load Balancer that signs users in and adds a signed header to each request.

AWS publishes the keys for it, which are fetched one by one.
"""
