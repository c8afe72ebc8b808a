-- For lists: as walk_all, of one session.
SELECT id, created_at
FROM hush_requests
WHERE session_id = :session
  AND (created_at, id) < (:before_at, :before_id)
  AND created_at >= :since
ORDER BY created_at DESC, id DESC
LIMIT :limit;
