"""Makes the service's own requests for identity safe: limits on what is fetched, from where, and through which proxy.

Every address here comes from the operator or a provider's discovery document, and never from a client.
"""
