-- Each gives (refused, unsettled, incomplete), all NULL when there is nothing to look at. A request that is
-- not queued yet joins no delivery: its NULL state counts as neither. One that was marked complete, and of which
-- no span has ended, is unsettled; refused when that was before :long_ago.

-- name: of_request
SELECT sum(coalesce(d.state IN ('dead', 'paused'), 0)) + max(coalesce(a.completed_at < :long_ago, 0)),
       sum(coalesce(d.state IN ('pending', 'sending'), 0)) + max(r.due_at IS NOT NULL OR a.id IS NOT NULL),
       max(r.completed_by IS NULL)
FROM hush_requests r
LEFT JOIN hush_deliveries d ON d.request = r.id
LEFT JOIN hush_requests a ON a.id = r.id AND a.completed_by = 'mark' AND a.max_seq = 0
    AND EXISTS (SELECT 1 FROM hush_request_destinations q WHERE q.request = a.id)
WHERE r.id = coalesce((SELECT id FROM hush_requests WHERE request_id = :request_id),
                      (SELECT request FROM hush_traces WHERE trace_id = :trace_id))
HAVING max(r.id) IS NOT NULL

-- name: of_writer
-- Requests that are not complete yet have not asked for anything.
SELECT sum(coalesce(d.state IN ('dead', 'paused'), 0))
           + max(r.completed_by = 'mark' AND r.max_seq = 0 AND r.completed_at < :long_ago),
       sum(coalesce(d.state IN ('pending', 'sending'), 0))
           + max(r.completed_by IS NOT NULL AND (r.due_at IS NOT NULL OR r.completed_by = 'mark' AND r.max_seq = 0)),
       0
FROM hush_askers a
JOIN hush_requests r ON r.id = a.request
LEFT JOIN hush_deliveries d ON d.request = r.id AND d.destination = a.destination
WHERE a.writer_id = :writer_id
