"""The spool: one directory of segment files beside the database. FORMAT.md is its specification."""
