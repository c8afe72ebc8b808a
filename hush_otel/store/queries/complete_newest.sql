-- For shells: the newest requests, where nothing was typed.
SELECT request_id, workflow_name, created_at
FROM hush_requests
ORDER BY created_at DESC, id DESC
LIMIT :limit;
