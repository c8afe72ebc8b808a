-- Requests that may have changed, each with what tells that it has: the newest, open ones, those with new rows to be
-- queued, and those with rows behind number :span. At most :limit of each kind.
WITH candidates (id) AS (
    SELECT id FROM (SELECT id FROM hush_requests ORDER BY created_at DESC LIMIT :limit)
    UNION
    SELECT id FROM (SELECT id FROM hush_requests WHERE completed_by IS NULL ORDER BY last_at DESC LIMIT :limit)
    UNION
    SELECT id FROM (SELECT id FROM hush_requests WHERE due_at IS NOT NULL ORDER BY due_at DESC LIMIT :limit)
    UNION
    SELECT request FROM (SELECT request FROM hush_spans WHERE id > :span ORDER BY id DESC LIMIT 10 * :limit)
)
SELECT v.request_id, v.status, r.max_seq, r.running_count, r.node_count, r.last_at, v.retry_count, v.flushed_at
FROM candidates c
CROSS JOIN hush_requests r ON r.id = c.id
CROSS JOIN requests v ON v.request_id = r.request_id;
