"""The broker for any number of tasks: one Valkey or Redis server keeps order and History, by means of Lua scripts.

It refuses a server in cluster mode, and keeps no event in the task.

Tasks of two releases share the store during a deploy. So a release writes what the one before it can read, and calls
pub/sub channels by the same names. A release that must change the format has to do it in two steps: first read both
forms, and write the new one in the release after.
"""
