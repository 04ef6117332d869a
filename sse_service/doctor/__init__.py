"""Looks at a deployment from inside one of its tasks, and says what is wrong with it and what to do."""
