"""What an operator can set, and in which forms. Read once from the environment, checked before anything starts."""
