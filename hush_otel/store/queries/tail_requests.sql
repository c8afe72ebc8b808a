-- For `tail`: how the requests :requests (a JSON list of numbers) are getting on: the columns of the public view.
SELECT r.id, r.computed_usd, r.running_count, v.*
FROM json_each(:requests) j
CROSS JOIN hush_requests r ON r.id = j.value
CROSS JOIN requests v ON v.request_id = r.request_id;
