"""Accepts tokens of OpenID providers: finds a provider's keys, keeps them fresh, and verifies tokens with them.

Which provider is asked is the operator's choice and never a token's.
"""
