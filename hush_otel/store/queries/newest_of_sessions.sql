-- For the list of sessions: of the requests :ids (a JSON list, the newest first) those that are the newest of theirs.
SELECT r.id, r.created_at, r.session_id
FROM json_each(:ids) j
CROSS JOIN hush_requests r ON r.id = j.value
WHERE r.session_id IS NOT NULL
  AND NOT EXISTS (
      SELECT 1 FROM hush_requests n
      WHERE n.session_id = r.session_id AND (n.created_at, n.id) > (r.created_at, r.id)
  )
LIMIT :limit;
