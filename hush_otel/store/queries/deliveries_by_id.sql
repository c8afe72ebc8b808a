-- For `retry`: some deliveries as they stand now. :ids is a JSON list.
SELECT d.id, d.state, d.next_attempt_at, d.last_error
FROM json_each(:ids) j
CROSS JOIN hush_deliveries d ON d.id = j.value;
