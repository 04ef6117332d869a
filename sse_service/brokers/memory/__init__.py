"""The broker for a single task. Its History lives in this process and ends with it."""
