-- For lists: requests that were to be delivered somewhere, a row for each destination, in no order. Whoever gets :limit
-- has not got all. What the view `requests` calls flushed is among them.
SELECT r.id, r.created_at
FROM hush_request_destinations q
CROSS JOIN hush_requests r ON r.id = q.request
LIMIT :limit;
