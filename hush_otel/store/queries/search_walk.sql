-- For the search: documents that hold some words, the newest requests first, from :first on and below :before.
SELECT rowid AS doc
FROM hush_search
WHERE hush_search MATCH :words AND rowid >= :first AND rowid < :before
ORDER BY rowid DESC
LIMIT :limit
