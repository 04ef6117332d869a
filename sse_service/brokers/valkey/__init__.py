"""The broker of any number of tasks: order and History live in Valkey or Redis, kept by Lua scripts."""
