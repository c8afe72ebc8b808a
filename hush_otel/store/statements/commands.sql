-- What commands change (retry, replay), within the drain's transactions.

-- name: save_result
INSERT OR REPLACE INTO hush_commands (id, name, result, applied_at) VALUES (?, ?, ?, ?)

-- name: forget_results
DELETE FROM hush_commands WHERE applied_at < ? AND result ->> '$.state' IS NOT 'working'

-- name: destination
SELECT id, name, paused FROM hush_destinations WHERE name = ?

-- name: destinations
SELECT id, name, paused FROM hush_destinations ORDER BY id

-- name: destinations_of_deliveries
SELECT DISTINCT x.id, x.name, x.paused
FROM json_each(:ids) j
CROSS JOIN hush_deliveries d ON d.id = j.value AND d.state IN ('dead', 'paused', 'pending')
CROSS JOIN hush_destinations x ON x.id = d.destination

-- name: retry_ids
UPDATE hush_deliveries SET state = 'pending', next_attempt_at = :now, retried_at = :now, settled_at = NULL
WHERE id IN (SELECT value FROM json_each(:ids)) AND destination = :destination
  AND state IN ('dead', 'paused', 'pending')
RETURNING id, span_count

-- name: retry_dead
UPDATE hush_deliveries INDEXED BY hush_deliveries_dead
SET state = 'pending', next_attempt_at = :now, retried_at = :now, settled_at = NULL
WHERE destination = :destination AND state = 'dead'
RETURNING id, span_count

-- name: retry_open
-- Paused ones, and those that wait for their next try.
UPDATE hush_deliveries INDEXED BY hush_deliveries_due
SET state = 'pending', next_attempt_at = :now, retried_at = :now
WHERE destination = :destination AND state IN ('pending', 'sending', 'paused') AND state <> 'sending'
RETURNING id, span_count

-- name: ask_anew
-- Of these requests those that have never been asked for there. A merged one is gone.
INSERT INTO hush_request_destinations (request, destination, whole)
SELECT r.id, :destination, 1
FROM json_each(:requests) j
CROSS JOIN hush_requests r ON r.id = j.value
WHERE NOT EXISTS (
    SELECT 1 FROM hush_request_destinations q WHERE q.request = r.id AND q.destination = :destination
)
RETURNING request

-- name: ask_again
-- Of these requests those whose deliveries there were all accepted: all of it is queued once more.
UPDATE hush_request_destinations AS q SET queued_seq = 0
WHERE q.destination = :destination AND q.request IN (SELECT value FROM json_each(:requests))
  AND NOT EXISTS (
      SELECT 1 FROM hush_deliveries d
      WHERE d.request = q.request AND d.destination = q.destination AND d.state <> 'delivered'
  )
RETURNING request

-- name: spans_to_send
SELECT count(*)
FROM json_each(:requests) j
CROSS JOIN hush_request_destinations q ON q.request = j.value AND q.destination = :destination
CROSS JOIN hush_spans s ON s.request = q.request AND s.end_seq > 0
WHERE q.whole OR s.route IN (SELECT route FROM hush_routes WHERE destination = q.destination)

-- name: make_due
-- A request that is not complete is queued when it is.
UPDATE hush_requests SET due_at = min(coalesce(due_at, :now), :now)
WHERE id IN (SELECT value FROM json_each(:requests)) AND completed_by IS NOT NULL AND max_seq > 0

-- name: set_cost
UPDATE hush_spans SET cost_usd = ?, cost_source = ? WHERE id = ?

-- name: roll_cost_up
-- What repeats others is left out, and what is no amount (mapping/counted.py).
UPDATE hush_requests AS r SET (cost_usd, computed_usd) = (
    SELECT min(sum(s.cost_usd), 1e308), min(sum(s.cost_usd) FILTER (WHERE s.cost_source IS NOT NULL), 1e308)
    FROM hush_spans s
    WHERE s.request = r.id AND s.cost_usd >= 0 AND s.repeats IS NULL
)
WHERE r.id IN (SELECT value FROM json_each(?))
