"""What an operator can set (``settings.py``), and the form of each value (``forms.py``).

Values are read from the environment once and checked before anything starts. Nothing here acts on them.
"""
