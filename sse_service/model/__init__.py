"""Values that all other packages use: events, cursors, reasons, principals, errors.

It does no I/O, and imports no other room.
"""
