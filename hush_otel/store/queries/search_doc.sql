-- For the search: the first document of a request that holds some words.
SELECT h.rowid AS doc FROM hush_requests r CROSS JOIN hush_search h
WHERE r.request_id = :request_id
  AND h.hush_search MATCH :words AND h.rowid BETWEEN r.id << 20 AND (r.id << 20) + 1048575
LIMIT 1
