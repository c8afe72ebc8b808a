-- For lists: where requests that were found by words stand, the newest first. CROSS JOIN keeps their order.
SELECT r.id, r.created_at
FROM json_each(:ids) j CROSS JOIN hush_requests r ON r.id = j.value
WHERE (r.created_at, r.id) < (:before_at, :before_id)
