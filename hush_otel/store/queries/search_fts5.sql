-- For the search: fails where SQLite was built without FTS5.
SELECT fts5_source_id()
