-- For lists: requests with something to be delivered, a row for each reason, in no order. Whoever gets :limit has
-- not got all. What the view `requests` calls pending or flushing is among them.
SELECT r.id, r.created_at
FROM hush_deliveries d
CROSS JOIN hush_requests r ON r.id = d.request
WHERE d.state IN ('pending', 'sending', 'paused')
UNION ALL
SELECT id, created_at
FROM hush_requests
WHERE due_at IS NOT NULL
UNION ALL
SELECT id, created_at
FROM hush_requests
WHERE completed_by = 'mark' AND max_seq = 0
LIMIT :limit;
