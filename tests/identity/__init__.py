"""A real OpenID provider, and tests of the service with it: sign-in, keys, and attacks from outside."""
