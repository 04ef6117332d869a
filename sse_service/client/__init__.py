"""What browsers load: ``client.js``, its types, and its package.json.

The folder is also an npm package: it needs no build step.
"""
