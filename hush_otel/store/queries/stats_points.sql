-- For the picture of latencies: one of :every of the newest :limit requests of [:since, :until), the newest first. By
-- their numbers, so that a point that was shown stays shown.
WITH chosen (id, created_at) AS (
    SELECT id, created_at FROM hush_requests
    WHERE :workflow IS NULL AND created_at >= :since AND created_at < :until
    UNION ALL
    SELECT id, created_at FROM hush_requests
    WHERE workflow_name = :workflow AND created_at >= :since AND created_at < :until
    ORDER BY created_at DESC
    LIMIT :limit
)
SELECT coalesce(r.start_ns / 1e9, r.created_at) AS start_at,
       (r.end_ns - r.start_ns) / 1e6 AS duration_ms,
       r.error_count > 0 AS failed,
       r.request_id,
       r.workflow_name
FROM chosen c
CROSS JOIN hush_requests r ON r.id = c.id
WHERE c.id % :every = 0
  AND r.end_ns IS NOT NULL;
