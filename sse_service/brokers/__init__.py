"""Brokers carry events between tasks and keep their History. ``base`` is the contract; each broker is a package."""
