"""The settings of an operator (``settings.py``), and the checks of their values (``validators.py``).

Values are read from the environment once, and checked before anything starts. Nothing here acts on them.
"""
