"""The SQLite database: the only room with SQL. One writer, the background process; all others read."""
