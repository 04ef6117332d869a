"""The broker of a single task: its History lives and dies with the process."""
