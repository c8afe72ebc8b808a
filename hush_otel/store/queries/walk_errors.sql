-- For lists: as walk_all, with a span that failed.
SELECT id, created_at
FROM hush_requests INDEXED BY hush_requests_failed
WHERE error_count > 0
  AND (created_at, id) < (:before_at, :before_id)
  AND created_at >= :since
ORDER BY created_at DESC, id DESC
LIMIT :limit;
