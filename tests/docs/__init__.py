"""The form of the documents: links, paths, widths. ``tests/unit/test_docs.py`` compares them with the code."""
