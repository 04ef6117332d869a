"""The broker for any number of tasks: one Valkey or Redis server keeps order and History, by means of Lua scripts.

It refuses a server in cluster mode, and keeps no event in the task.
"""
