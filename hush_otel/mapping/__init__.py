"""What spans and node traces mean, in each convention: pure functions without I/O.

`nodes` reads Hush's node traces as spans, `semconv` reads any instrumentation's attributes into columns,
`attributes` and `jsontext` convert single values. A vendor's dialect is a file of its own beside these.
"""
