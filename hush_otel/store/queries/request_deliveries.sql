-- The deliveries of one request: the columns of the public view, the spans that the receiver refused, and where
-- its destination is (secrets masked), and of which type.
SELECT v.*, d.rejected, coalesce(x.config ->> 'endpoint', x.config ->> 'path') AS target, x.type
FROM hush_requests q
CROSS JOIN hush_deliveries d ON d.request = q.id
CROSS JOIN deliveries v ON v.id = d.id
CROSS JOIN hush_destinations x ON x.id = d.destination
WHERE q.request_id = :request_id
ORDER BY d.id;
