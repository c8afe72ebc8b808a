-- One request: the columns of the public view, how much of its cost was computed, how many spans run, its models
-- as a JSON list.
SELECT v.*,
       r.computed_usd,
       r.running_count,
       (SELECT json_group_array(l.label) FROM hush_request_labels l WHERE l.request = r.id AND l.kind = 0) AS models
FROM hush_requests r
CROSS JOIN requests v ON v.request_id = r.request_id
WHERE r.request_id = :request_id;
