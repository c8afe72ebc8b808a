-- The deliveries of one request: the columns of the public view, and the spans that the receiver refused.
SELECT v.*, d.rejected
FROM hush_requests q
CROSS JOIN hush_deliveries d ON d.request = q.id
CROSS JOIN deliveries v ON v.id = d.id
WHERE q.request_id = :request_id
ORDER BY d.id;
