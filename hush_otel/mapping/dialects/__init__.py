"""Dialects: what a vendor wants to find on a span, beside what its instrumentation wrote.

    SpanData ──meaning──► Meaning ──langfuse, openinference, …──► attributes to add

Pure functions. `meaning` reads every convention once; a dialect is a file that writes one. What a span has
already is never changed (`catalogue.translated`).
"""
