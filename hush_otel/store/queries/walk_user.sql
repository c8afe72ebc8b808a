-- For lists: as walk_all, of one user.
SELECT id, created_at
FROM hush_requests
WHERE user_id = :user
  AND (created_at, id) < (:before_at, :before_id)
  AND created_at >= :since
ORDER BY created_at DESC, id DESC
LIMIT :limit;
