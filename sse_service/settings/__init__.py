"""The settings of an operator (``settings.py``), and the checks of their values (``validators.py``, ``identity.py``).

Nothing here acts on a value: ``task.py`` passes the values on.
"""
