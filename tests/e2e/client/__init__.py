"""client.js in a real browser, with a real service, and a proxy between them that fails on demand.

Each test has a browser profile and a user of its own. All share one service, one broker and one proxy per module.
"""
