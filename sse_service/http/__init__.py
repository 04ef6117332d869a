"""The HTTP applications of both ports, and what they share: session, probes, problems, sockets."""
