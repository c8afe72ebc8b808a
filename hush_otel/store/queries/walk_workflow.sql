-- For lists: as walk_all, of one workflow.
SELECT id, created_at
FROM hush_requests
WHERE workflow_name = :workflow
  AND (created_at, id) < (:before_at, :before_id)
  AND created_at >= :since
ORDER BY created_at DESC, id DESC
LIMIT :limit;
