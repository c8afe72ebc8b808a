-- The newest deliveries before number :before, the columns of the public view, optionally of some states, one
-- destination, one time. :states is a JSON list, or NULL. Walks back from there and stops at :limit; a filter that
-- matches little walks far (list_unsettled is for what waits or is dead).
SELECT v.*
FROM hush_deliveries d NOT INDEXED
CROSS JOIN deliveries v ON v.id = d.id
WHERE d.id < :before
  AND (:states IS NULL OR d.state IN (SELECT value FROM json_each(:states)))
  AND (:destination IS NULL OR v.destination = :destination)
  AND (:since IS NULL OR d.created_at >= :since)
  AND (:until IS NULL OR d.created_at < :until)
ORDER BY d.id DESC
LIMIT :limit;
