-- For filters to choose from: what the newest :limit requests are found by. Labels as JSON lists.
SELECT r.workflow_name,
       r.user_id,
       r.session_id,
       (SELECT json_group_array(l.label) FROM hush_request_labels l WHERE l.request = r.id AND l.kind = 0) AS models,
       (SELECT json_group_array(l.label) FROM hush_request_labels l WHERE l.request = r.id AND l.kind = 1) AS tags
FROM hush_requests r
ORDER BY r.created_at DESC, r.id DESC
LIMIT :limit;
