"""The local page: a server over the database, read-only; `cli/ui.py` starts it."""
