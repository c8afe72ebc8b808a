-- For `replay` and `export`: one page of requests in the order in which they came, after (:after_at, :after_id).
-- asked: whether the request goes to the destination :destination already. spans: rows that have ended.
-- The view decides the status, and only where one is asked for.
SELECT r.id,
       r.request_id,
       r.created_at,
       r.node_count - r.running_count AS spans,
       EXISTS (SELECT 1 FROM hush_request_destinations q
               WHERE q.request = r.id AND q.destination = :destination) AS asked
FROM hush_requests r
WHERE (r.created_at, r.id) > (:after_at, :after_id)
  AND r.created_at < :until
  AND (:workflow IS NULL OR r.workflow_name = :workflow)
  AND (:user IS NULL OR r.user_id = :user)
  AND (:session IS NULL OR r.session_id = :session)
  AND (:status IS NULL OR (SELECT v.status FROM requests v WHERE v.request_id = r.request_id) = :status)
ORDER BY r.created_at, r.id
LIMIT :limit;
