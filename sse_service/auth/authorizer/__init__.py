"""Asks the operator's own back end who sent a request: at a URL (``url``), or by calling a function (``callable``).

Both share what they tell of a request, which answers they accept, and how many calls they make.
"""
