-- For lists: as walk_all, with a model (:kind 0) or a tag (1).
SELECT request AS id, created_at
FROM hush_request_labels
WHERE kind = :kind
  AND label = :label
  AND (created_at, request) < (:before_at, :before_id)
  AND created_at >= :since
ORDER BY created_at DESC, request DESC
LIMIT :limit;
