-- For shells: requests whose id begins with what was typed (:id <= request_id < :id_end).
SELECT request_id, workflow_name, created_at
FROM hush_requests
WHERE request_id >= :id AND request_id < :id_end
ORDER BY request_id
LIMIT :limit;
