-- Of the requests :ids (a JSON list of numbers) those that match, in that order: the columns of the public view,
-- how much of the cost a price table says, how many spans run, and the models as a JSON list.
-- What stands in hush_requests is asked first; the view decides the status only of what is left.
SELECT r.id,
       v.*,
       r.computed_usd,
       r.running_count,
       (SELECT json_group_array(l.label) FROM hush_request_labels l WHERE l.request = r.id AND l.kind = 0) AS models
FROM json_each(:ids) j
CROSS JOIN hush_requests r ON r.id = j.value
CROSS JOIN requests v ON v.request_id = r.request_id
WHERE r.created_at >= :since
  AND r.created_at < :until
  AND (:workflow IS NULL OR r.workflow_name = :workflow)
  AND (:user IS NULL OR r.user_id = :user)
  AND (:session IS NULL OR r.session_id = :session)
  AND (:errors = 0 OR r.error_count > 0)
  AND (:min_ns IS NULL OR r.end_ns - r.start_ns >= :min_ns)
  AND (:model IS NULL OR EXISTS (
      SELECT 1 FROM hush_request_labels l WHERE l.request = r.id AND l.kind = 0 AND l.label = :model))
  AND (:tag IS NULL OR EXISTS (
      SELECT 1 FROM hush_request_labels l WHERE l.request = r.id AND l.kind = 1 AND l.label = :tag))
  AND (:status IS NULL OR v.status = :status)
LIMIT :limit;
