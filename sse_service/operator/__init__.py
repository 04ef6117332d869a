"""The operator's page on the admin port."""
