"""The broker for a single task: order and History are in this process.

Nothing is written to a disk or shared with another task, so History ends with the process.
"""
