-- Each gives (refused, unsettled, incomplete), all NULL when there is nothing to look at. A request that is
-- not queued yet joins no delivery: its NULL state counts as neither.

-- name: of_request
SELECT sum(coalesce(d.state IN ('dead', 'paused'), 0)),
       sum(coalesce(d.state IN ('pending', 'sending'), 0)) + max(r.due_at IS NOT NULL),
       max(r.completed_by IS NULL)
FROM hush_requests r
LEFT JOIN hush_deliveries d ON d.request = r.id
WHERE r.id = coalesce((SELECT id FROM hush_requests WHERE request_id = :request_id),
                      (SELECT request FROM hush_traces WHERE trace_id = :trace_id))
HAVING max(r.id) IS NOT NULL

-- name: of_writer
-- Requests that are not complete yet have not asked for anything.
SELECT sum(coalesce(d.state IN ('dead', 'paused'), 0)),
       sum(coalesce(d.state IN ('pending', 'sending'), 0)) + max(r.due_at IS NOT NULL AND r.completed_by IS NOT NULL),
       0
FROM hush_askers a
JOIN hush_requests r ON r.id = a.request
LEFT JOIN hush_deliveries d ON d.request = r.id AND d.destination = a.destination
WHERE a.writer_id = :writer_id
