"""What runs in the app: spans and node traces become records in the spool.

Imports neither SQLite nor HTTP, starts no thread, never raises into the app.
"""
