"""Brokers carry events between tasks and keep their History: ``base`` is the contract, and each broker is a package.

No broker knows streams or HTTP: a ``Listener`` takes what it delivers.
"""
