"""The background process: drain (spool → store), relay (store → destinations), and its start."""
