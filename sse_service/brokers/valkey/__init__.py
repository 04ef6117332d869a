"""The broker for any number of tasks. One Valkey or Redis server keeps order and History, by means of Lua scripts."""
