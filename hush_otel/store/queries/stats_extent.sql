-- For statistics: how many of the newest :limit requests of [:since, :until) there are, and from when to when.
WITH chosen (id, created_at) AS (
    SELECT id, created_at FROM hush_requests
    WHERE :workflow IS NULL AND created_at >= :since AND created_at < :until
    UNION ALL
    SELECT id, created_at FROM hush_requests
    WHERE workflow_name = :workflow AND created_at >= :since AND created_at < :until
    ORDER BY created_at DESC
    LIMIT :limit
)
SELECT count(*) AS requests, min(created_at) AS first_at, max(created_at) AS last_at
FROM chosen;
