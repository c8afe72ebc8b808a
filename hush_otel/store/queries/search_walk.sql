-- For the search: documents that hold some words, the newest requests first, below :before.
SELECT rowid AS doc FROM hush_search WHERE hush_search MATCH :words AND rowid < :before ORDER BY rowid DESC LIMIT :limit
