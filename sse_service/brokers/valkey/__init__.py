"""The broker of any number of tasks. Order and History live in one Valkey or Redis server, kept by Lua scripts."""
