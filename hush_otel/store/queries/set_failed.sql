-- For lists: requests with dead deliveries, one row for each, in no order. Whoever gets :limit has not got all.
SELECT r.id, r.created_at
FROM hush_deliveries d
CROSS JOIN hush_requests r ON r.id = d.request
WHERE d.state = 'dead'
LIMIT :limit;
