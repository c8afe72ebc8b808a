-- How much `replay` and `export` have before them: all pages of history_requests, added up.
SELECT count(*) AS requests,
       coalesce(sum(spans), 0) AS spans,
       coalesce(sum(asked), 0) AS asked
FROM (
    SELECT r.node_count - r.running_count AS spans,
           EXISTS (SELECT 1 FROM hush_request_destinations q
                   WHERE q.request = r.id AND q.destination = :destination) AS asked
    FROM hush_requests r
    WHERE r.created_at >= :since
      AND r.created_at < :until
      AND (:workflow IS NULL OR r.workflow_name = :workflow)
      AND (:user IS NULL OR r.user_id = :user)
      AND (:session IS NULL OR r.session_id = :session)
      AND (:status IS NULL OR (SELECT v.status FROM requests v WHERE v.request_id = r.request_id) = :status)
);
