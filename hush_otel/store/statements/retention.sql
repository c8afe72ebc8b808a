-- What retention looks at and deletes, in transactions of the owner. Lists of numbers come as JSON.

-- name: oldest
-- Requests in the order in which they came, after (:at, :id), begun before :before. Those of which something has
-- arrived since then are too young, whatever their beginning.
SELECT v.id, v.created_at, v.node_count, iif(v.last_at < :before, v.kept, 2)
FROM hush_prunable v
WHERE (v.created_at, v.id) > (:at, :id) AND v.created_at < :before
ORDER BY v.created_at, v.id
LIMIT :limit

-- name: newest
-- The same backwards, with what they are requests of.
SELECT v.id, v.created_at, v.node_count, v.kept, v.workflow_name
FROM hush_prunable v
WHERE (v.created_at, v.id) < (:at, :id)
ORDER BY v.created_at DESC, v.id DESC
LIMIT :limit

-- name: look_again
-- What was looked at some time ago may wait for something now. CROSS JOIN keeps their order.
SELECT v.id FROM json_each(:requests) j CROSS JOIN hush_prunable v ON v.id = j.value WHERE v.kept <= :kept

-- name: delete_deliveries
DELETE FROM hush_deliveries WHERE id IN (
    SELECT d.id FROM json_each(:requests) j CROSS JOIN hush_deliveries d ON d.request = j.value LIMIT :limit
)
RETURNING request, destination, state, span_count

-- name: forget_settled
DELETE FROM hush_request_destinations
WHERE request = ?1 AND destination = ?2
  AND NOT EXISTS (SELECT 1 FROM hush_deliveries d WHERE d.request = ?1 AND d.destination = ?2)

-- name: has_deliveries
SELECT 1 FROM json_each(:requests) j CROSS JOIN hush_deliveries d ON d.request = j.value LIMIT 1

-- name: count_pruned
UPDATE hush_destinations SET pruned = pruned + ? WHERE id = ?

-- name: forget_owed
DELETE FROM hush_request_destinations WHERE request IN (SELECT value FROM json_each(:requests))

-- name: forget_askers
DELETE FROM hush_askers INDEXED BY hush_askers_request WHERE request IN (SELECT value FROM json_each(:requests))

-- name: forget_labels
DELETE FROM hush_request_labels WHERE request IN (SELECT value FROM json_each(:requests))

-- name: spans_of
SELECT s.id FROM json_each(:requests) j CROSS JOIN hush_spans s ON s.request = j.value LIMIT :limit

-- name: delete_spans
DELETE FROM hush_spans WHERE id IN (SELECT value FROM json_each(:spans))
RETURNING id, trace, state, large

-- name: has_spans
SELECT 1 FROM json_each(:requests) j CROSS JOIN hush_spans s ON s.request = j.value LIMIT 1

-- name: payloads_by_span
SELECT l.span, p.id FROM hush_span_payloads l JOIN hush_payloads p ON p.id = l.payload
WHERE l.span IN (SELECT value FROM json_each(:spans))

-- name: media_by_span
SELECT l.span, m.id FROM hush_span_media l JOIN hush_media m ON m.id = l.media
WHERE l.span IN (SELECT value FROM json_each(:spans))

-- name: payloads_of
SELECT DISTINCT payload FROM hush_span_payloads WHERE span IN (SELECT value FROM json_each(:spans))

-- name: forget_payloads_of
DELETE FROM hush_span_payloads WHERE span IN (SELECT value FROM json_each(:spans))

-- name: delete_payload
DELETE FROM hush_payloads
WHERE id = :id AND NOT EXISTS (SELECT 1 FROM hush_span_payloads l WHERE l.payload = :id)

-- name: media_of
SELECT DISTINCT media FROM hush_span_media WHERE span IN (SELECT value FROM json_each(:spans))

-- name: forget_media_of
DELETE FROM hush_span_media WHERE span IN (SELECT value FROM json_each(:spans))

-- name: delete_media
DELETE FROM hush_media
WHERE id = :id AND NOT EXISTS (SELECT 1 FROM hush_span_media l WHERE l.media = :id)

-- name: delete_requests
DELETE FROM hush_requests WHERE id IN (SELECT value FROM json_each(:requests)) RETURNING trace

-- name: delete_traces
-- Of these traces those that have lost their last span, and whose request is gone or going.
DELETE FROM hush_traces
WHERE id IN (SELECT value FROM json_each(:traces))
  AND (request IN (SELECT value FROM json_each(:requests))
       OR NOT EXISTS (SELECT 1 FROM hush_requests r WHERE r.id = hush_traces.request))
  AND NOT EXISTS (SELECT 1 FROM hush_spans s WHERE s.trace = hush_traces.id)
RETURNING trace_id

-- name: lead_traces_on
-- The others of which the request is gone: what still comes of them joins the spans that are left.
UPDATE hush_traces SET request = (SELECT s.request FROM hush_spans s WHERE s.trace = hush_traces.id LIMIT 1)
WHERE id IN (SELECT value FROM json_each(:traces))
  AND NOT EXISTS (SELECT 1 FROM hush_requests r WHERE r.id = hush_traces.request)
RETURNING trace_id

-- name: unfinished
-- The oldest `prune` that somebody asked for and that is not done. What stands here is a week's commands.
SELECT id, result FROM hush_commands WHERE name = 'prune' AND result ->> 'state' = 'working' ORDER BY applied_at LIMIT 1

-- name: save_progress
UPDATE hush_commands SET result = ?, applied_at = ? WHERE id = ?

-- name: note
INSERT OR REPLACE INTO hush_meta (key, value) VALUES (?, ?)

-- name: forget_note
DELETE FROM hush_meta WHERE key = ?

-- name: look_up_note
SELECT value FROM hush_meta WHERE key = ?

-- name: newest_begun
SELECT max(created_at) FROM hush_requests
