"""What ``sse-service dev`` adds to ``serve``: embedded AWS, and a demo application with its own back end and page."""
