"""A Django site with the views and the page of ``deploy/examples``, run as a program. It has no test of its own."""
