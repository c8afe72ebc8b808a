-- As list_deliveries, for states other than delivered: what waits and what is dead is found by index, and sorted.
WITH unsettled (id, state, created_at) AS (
    SELECT id, state, created_at FROM hush_deliveries WHERE state IN ('pending', 'sending', 'paused')
    UNION ALL
    SELECT id, state, created_at FROM hush_deliveries WHERE state = 'dead'
)
SELECT v.*
FROM unsettled u
CROSS JOIN deliveries v ON v.id = u.id
WHERE u.id < :before
  AND u.state IN (SELECT value FROM json_each(:states))
  AND (:destination IS NULL OR v.destination = :destination)
  AND (:since IS NULL OR u.created_at >= :since)
  AND (:until IS NULL OR u.created_at < :until)
ORDER BY u.id DESC
LIMIT :limit;
