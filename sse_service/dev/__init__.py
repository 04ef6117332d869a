"""What ``sse-service dev`` adds to ``serve``: an AWS emulator, and a demo application with a back end and a page.

The demo stands for the systems around the service. It uses the service over HTTP and SNS only, as they do.
"""
