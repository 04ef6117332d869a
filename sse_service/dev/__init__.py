"""What ``sse-service dev`` adds to ``serve``: an AWS emulator, and a demo application with a back end and a page.

``serve`` does not use this package, and the demo uses the service only over HTTP and SNS.
"""
