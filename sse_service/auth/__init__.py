"""Find the Principal behind a request. This room knows no streams and sends no responses.

Each way to authenticate is one file with one class that implements ``Authenticator`` (``authenticator.py``):
``bearer.py`` and ``cookie.py``. To add one, write another such file, give it a setting, and put it into the chain in
``task.py``; the position in the chain is its precedence. To accept tokens of another kind, write a ``TokenVerifier``
(``tokens.py``) and give it to the bearer and cookie authenticators. Verifying never needs ``signing.py``: that is for
the commands ``token``, ``dev`` and ``doctor``, which mint tokens.
"""
