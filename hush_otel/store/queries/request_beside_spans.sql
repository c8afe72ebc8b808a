-- For `redact --check`: what is stored of a request that none of its spans says.
SELECT request_id, marked_tags
FROM hush_requests
WHERE id = :request;
