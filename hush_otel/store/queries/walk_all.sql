-- For lists: requests, the newest first, before (:before_at, :before_id) and begun since :since. Only their places.
SELECT id, created_at
FROM hush_requests
WHERE (created_at, id) < (:before_at, :before_id)
  AND created_at >= :since
ORDER BY created_at DESC, id DESC
LIMIT :limit;
