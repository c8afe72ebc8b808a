"""hush-otel."""
