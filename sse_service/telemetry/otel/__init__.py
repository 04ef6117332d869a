"""Reports spans and metrics to an OpenTelemetry collector (OTLP over HTTP).

It is imported only if it is switched on, and nothing outside imports ``opentelemetry``.
"""
