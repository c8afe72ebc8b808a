-- For readers of typed spans: the number of a request.
SELECT id
FROM hush_requests
WHERE request_id = :request_id;
