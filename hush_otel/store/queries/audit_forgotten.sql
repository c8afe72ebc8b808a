-- For `audit`: complete requests with spans for a destination that was asked for, and without any delivery there.
-- Looks at every request and what it owes: some seconds for a million requests.
SELECT x.name, count(*) AS requests
FROM hush_request_destinations q
CROSS JOIN hush_requests r ON r.id = q.request
CROSS JOIN hush_destinations x ON x.id = q.destination
WHERE r.completed_by IS NOT NULL
  AND r.due_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM hush_deliveries d WHERE d.request = q.request AND d.destination = q.destination)
  AND EXISTS (
      SELECT 1 FROM hush_spans s
      WHERE s.request = q.request AND s.end_seq > 0
        AND (q.whole OR s.route IN (SELECT route FROM hush_routes WHERE destination = q.destination))
  )
GROUP BY x.name
ORDER BY x.name;
