"""Where requests are re-exported to: one module per protocol, one entry per type in `registry`.

A destination module sees spans (`model.SpanData`) and its configuration; it knows neither the spool
nor the store, keeps no queue and never retries: the relay does both.
"""
