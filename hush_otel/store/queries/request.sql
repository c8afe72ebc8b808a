-- One request: the columns of the public view, and how much of its cost was computed.
SELECT v.*,
       (SELECT r.computed_usd FROM hush_requests r WHERE r.request_id = v.request_id) AS computed_usd
FROM requests v
WHERE v.request_id = :request_id;
