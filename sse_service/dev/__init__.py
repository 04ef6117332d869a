"""What ``sse-service dev`` adds to ``serve``: an AWS emulator, and a demo application with a back end and a page.

The demo plays the part of the systems around the service. Like them, it uses the service only over HTTP and SNS.
"""
