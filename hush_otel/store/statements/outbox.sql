-- The outbox: what is due is queued; what is queued is claimed, sent and settled.

-- name: due_requests
SELECT id, has_nodes FROM hush_requests
WHERE due_at IS NOT NULL AND due_at <= ? ORDER BY due_at LIMIT ?

-- name: next_due
SELECT min(due_at) FROM hush_requests WHERE due_at IS NOT NULL

-- name: insert_deliveries
-- One for each destination of the due requests that has not had all of their rows, in the order in which they
-- became due; none where no row is routed there.
INSERT INTO hush_deliveries
    (request, destination, from_seq, to_seq, state, next_attempt_at, last_error, span_count, created_at)
SELECT request, destination, queued_seq, max_seq, iif(paused IS NULL, 'pending', 'paused'), :now, paused, spans, :now
FROM (
    SELECT q.request, q.destination, q.queued_seq, r.max_seq, x.paused, r.due_at,
           CASE WHEN q.whole
                THEN (SELECT count(*) FROM hush_spans s
                      WHERE s.request = r.id AND s.end_seq > q.queued_seq AND s.end_seq <= r.max_seq)
                ELSE (SELECT count(*) FROM hush_spans s
                      WHERE s.request = r.id AND s.end_seq > q.queued_seq AND s.end_seq <= r.max_seq
                        AND s.route IN (SELECT route FROM hush_routes WHERE destination = q.destination))
           END AS spans
    FROM hush_requests r
    JOIN hush_request_destinations q ON q.request = r.id
    JOIN hush_destinations x ON x.id = q.destination
    WHERE r.id IN (SELECT value FROM json_each(:requests)) AND r.max_seq > q.queued_seq
)
WHERE spans > 0
ORDER BY due_at, request, destination

-- name: set_queued
UPDATE hush_request_destinations AS q
SET queued_seq = max(q.queued_seq, (SELECT max_seq FROM hush_requests WHERE id = q.request))
WHERE request IN (SELECT value FROM json_each(:requests))

-- name: clear_due
UPDATE hush_requests SET due_at = NULL, dirty_at = NULL WHERE id IN (SELECT value FROM json_each(:requests))

-- name: reset_sending
-- A lease ends with its holder: there is one relay, and it has just started.
UPDATE hush_deliveries INDEXED BY hush_deliveries_due SET state = 'pending', next_attempt_at = ?
WHERE state IN ('pending', 'sending', 'paused') AND state = 'sending'

-- name: digest
SELECT digest, fingerprints FROM hush_destinations WHERE id = ?

-- name: secrets
SELECT literals FROM hush_secrets WHERE destination = ?

-- name: waiting
-- From one to the next in the index: there may be many that wait for nothing, and many deliveries of one.
WITH RECURSIVE owed(id) AS (
    SELECT min(destination) FROM hush_deliveries INDEXED BY hush_deliveries_due
    WHERE state IN ('pending', 'sending', 'paused')
    UNION ALL
    SELECT (SELECT min(d.destination) FROM hush_deliveries d INDEXED BY hush_deliveries_due
            WHERE d.state IN ('pending', 'sending', 'paused') AND d.destination > owed.id)
    FROM owed WHERE owed.id IS NOT NULL
)
SELECT x.id, x.name, x.type, x.config, x.fingerprints, x.digest, x.paused, x.hold_until, x.failures
FROM owed CROSS JOIN hush_destinations x ON x.id = owed.id

-- name: due_deliveries
-- In the order of their requests: what follows a delivery that is being sent, or waits for its next try, waits
-- for it. Deliveries of a request are numbered in the order of their rows.
SELECT d.id, d.request, d.from_seq, d.to_seq, d.attempts, d.span_count, q.whole, r.request_id, r.has_nodes
FROM hush_deliveries d INDEXED BY hush_deliveries_due
JOIN hush_requests r ON r.id = d.request
LEFT JOIN hush_request_destinations q ON q.request = d.request AND q.destination = d.destination
WHERE d.destination = ? AND d.state IN ('pending', 'sending', 'paused') AND d.next_attempt_at <= ?
  AND d.state = 'pending'
  AND NOT EXISTS (SELECT 1 FROM hush_deliveries o INDEXED BY hush_deliveries_request
                  WHERE o.request = d.request AND o.destination = d.destination
                    AND (o.state = 'sending' OR (o.state = 'pending' AND o.id < d.id)))
ORDER BY d.next_attempt_at, d.id LIMIT ?

-- name: next_attempt
-- Of those that wait for nothing else: the end of what they follow is reported.
SELECT d.next_attempt_at FROM hush_deliveries d INDEXED BY hush_deliveries_due
WHERE d.destination = ? AND d.state IN ('pending', 'sending', 'paused') AND d.state = 'pending'
  AND NOT EXISTS (SELECT 1 FROM hush_deliveries o INDEXED BY hush_deliveries_request
                  WHERE o.request = d.request AND o.destination = d.destination
                    AND (o.state = 'sending' OR (o.state = 'pending' AND o.id < d.id)))
ORDER BY d.next_attempt_at LIMIT 1

-- name: claim
-- One statement for all of them, like those that settle: sqlite3 gives up the GIL at each, and a lane that
-- computes gives it back late.
UPDATE hush_deliveries SET state = 'sending', attempts = attempts + 1 WHERE id IN (SELECT value FROM json_each(?))

-- name: settle_delivered
UPDATE hush_deliveries SET state = 'delivered', settled_at = ?, last_error = ?, rejected = ? WHERE id IN (SELECT value FROM json_each(?))

-- name: settle_dead
UPDATE hush_deliveries SET state = 'dead', settled_at = ?, last_error = ? WHERE id = ?

-- name: settle_retry
UPDATE hush_deliveries SET state = 'pending', next_attempt_at = ?, last_error = ? WHERE id IN (SELECT value FROM json_each(?))

-- name: settle_paused
UPDATE hush_deliveries SET state = 'paused', last_error = ? WHERE id IN (SELECT value FROM json_each(?))

-- name: count_delivered
UPDATE hush_destinations SET
    delivered = delivered + :delivered,
    rejected = rejected + :rejected,
    minute_before = CASE :minute WHEN minute THEN minute_before WHEN minute + 1 THEN minute_spans ELSE 0 END,
    minute_spans = CASE :minute WHEN minute THEN minute_spans ELSE 0 END + :delivered,
    minute = :minute,
    accepted_at = :now
WHERE id = :destination

-- name: note_error
UPDATE hush_destinations SET last_error = ?, last_error_at = ? WHERE id = ?

-- name: is_superseded
-- Whether its rows are, or will be, in a later delivery: they ended anew (an interrupted span whose end turned up).
SELECT EXISTS (SELECT 1 FROM hush_deliveries o
               WHERE o.request = d.request AND o.destination = d.destination AND o.to_seq > d.to_seq)
    OR EXISTS (SELECT 1 FROM hush_requests r WHERE r.id = d.request AND r.due_at IS NOT NULL)
FROM hush_deliveries d WHERE d.id = ?

-- name: empty_delivery
UPDATE hush_deliveries SET span_count = 0 WHERE id = ?

-- name: delete_delivery
DELETE FROM hush_deliveries WHERE id = ?

-- name: hand_back
-- Claimed, and not tried: as it was.
UPDATE hush_deliveries AS d SET
    attempts = attempts - 1,
    state = iif((SELECT paused FROM hush_destinations WHERE id = d.destination) IS NULL, 'pending', 'paused')
WHERE id IN (SELECT value FROM json_each(?))

-- name: trouble
SELECT paused, hold_until, failures FROM hush_destinations WHERE id = ?

-- name: hold
UPDATE hush_destinations SET hold_until = ?, hold_s = ?, failures = failures + 1 WHERE id = ?

-- name: expire
UPDATE hush_deliveries INDEXED BY hush_deliveries_due SET state = 'dead', settled_at = ?, last_error = ?
WHERE destination = ? AND state IN ('pending', 'sending', 'paused') AND state = 'pending'
  AND coalesce(retried_at, created_at) <= ?

-- name: pause
UPDATE hush_destinations SET paused = ?, hold_until = ?, hold_s = ? WHERE id = ?

-- name: probe_later
UPDATE hush_destinations SET hold_until = ?, hold_s = ? WHERE id = ?

-- name: pause_deliveries
UPDATE hush_deliveries INDEXED BY hush_deliveries_due SET state = 'paused', last_error = ?
WHERE destination = ? AND state IN ('pending', 'sending', 'paused') AND state = 'pending'

-- name: resume
UPDATE hush_destinations SET paused = NULL, hold_until = 0, hold_s = 0, failures = 0 WHERE id = ?

-- name: resume_deliveries
UPDATE hush_deliveries INDEXED BY hush_deliveries_due SET state = 'pending', next_attempt_at = ?
WHERE destination = ? AND state IN ('pending', 'sending', 'paused') AND state = 'paused'

-- name: clamp_holds
UPDATE hush_destinations SET hold_until = :now + hold_s WHERE hold_until > :now + hold_s

-- name: clamp_attempts
-- As long as its destination is held, or as the longest backoff, whatever is longer.
UPDATE hush_deliveries INDEXED BY hush_deliveries_due SET next_attempt_at = :now + :longest
WHERE destination = :destination AND state IN ('pending', 'sending', 'paused') AND state = 'pending'
  AND next_attempt_at > :now + :longest

-- name: holds
SELECT id, hold_s FROM hush_destinations

-- name: clamp_due
UPDATE hush_requests SET due_at = :now, dirty_at = min(dirty_at, :now) WHERE due_at > :now + :longest

-- name: clamp_idle
UPDATE hush_requests INDEXED BY hush_requests_open SET last_at = :now WHERE completed_by IS NULL AND last_at > :now

-- name: probe
-- One paused delivery shows whether the destination works again.
-- The first one of its request.
SELECT (SELECT min(o.id) FROM hush_deliveries o INDEXED BY hush_deliveries_request
        WHERE o.request = d.request AND o.destination = d.destination AND o.state = 'paused')
FROM hush_deliveries d INDEXED BY hush_deliveries_due
WHERE d.destination = ? AND d.state IN ('pending', 'sending', 'paused') AND d.state = 'paused'
ORDER BY d.next_attempt_at, d.id LIMIT 1

-- name: probe_secrets
-- A new process has a new environment. Nothing is sent where it does not fit.
UPDATE hush_destinations SET hold_until = 0 WHERE paused LIKE 'secret %'

-- name: make_pending
UPDATE hush_deliveries SET state = 'pending', next_attempt_at = ? WHERE id = ?

-- name: spans_of_deliveries
-- What each of them stands for now: two requests may have become one since it was claimed. CROSS JOIN keeps
-- the order of the loops: delivery by delivery, the spans of each as they ended. Without a row in
-- request_destinations nothing restricts a delivery to a route. Of a large one a stretch: above :after, up to :upto.
SELECT {columns}, r.request_id, d.id, s.end_seq
FROM json_each(:deliveries) j
CROSS JOIN hush_deliveries d ON d.id = j.value
CROSS JOIN hush_requests r ON r.id = d.request
LEFT JOIN hush_request_destinations q ON q.request = d.request AND q.destination = d.destination
CROSS JOIN hush_spans s
    ON s.request = d.request AND s.end_seq > max(d.from_seq, :after) AND s.end_seq <= min(d.to_seq, :upto)
CROSS JOIN hush_traces t ON t.id = s.trace
WHERE (coalesce(q.whole, 1) OR s.route IN (SELECT route FROM hush_routes WHERE destination = d.destination))
  AND (d.only_seqs IS NULL OR s.end_seq IN (SELECT value FROM json_each(d.only_seqs)))
  AND (d.without_seqs IS NULL OR s.end_seq NOT IN (SELECT value FROM json_each(d.without_seqs)))

-- name: follows_another
-- A delta is what follows an earlier delivery to the same destination.
SELECT EXISTS (SELECT 1 FROM hush_deliveries o
               WHERE o.request = d.request AND o.destination = d.destination AND o.to_seq <= d.from_seq)
FROM hush_deliveries d WHERE d.id = ?

-- name: rows_of_request
-- All that has ended of a delivery's request, up to the delivery, and which of it the delivery is about.
SELECT {columns}, r.request_id, d.id, s.end_seq,
       s.end_seq > d.from_seq
           AND (d.only_seqs IS NULL OR s.end_seq IN (SELECT value FROM json_each(d.only_seqs)))
           AND (d.without_seqs IS NULL OR s.end_seq NOT IN (SELECT value FROM json_each(d.without_seqs))),
       s.node
FROM hush_deliveries d
CROSS JOIN hush_requests r ON r.id = d.request
LEFT JOIN hush_request_destinations q ON q.request = d.request AND q.destination = d.destination
CROSS JOIN hush_spans s ON s.request = d.request AND s.end_seq > 0 AND s.end_seq <= d.to_seq
CROSS JOIN hush_traces t ON t.id = s.trace
WHERE d.id = ?
  AND (coalesce(q.whole, 1) OR s.route IN (SELECT route FROM hush_routes WHERE destination = d.destination))

-- name: nodes_of_trace
-- What iterations are made of: nothing long. What repeats others is in no sum.
SELECT s.span_id, s.parent_span_id, s.node ->> 'node_name', s.node ->> 'parent_name', s.node ->> 'context_id',
       s.start_ns, s.end_ns, s.end_seq,
       iif(s.repeats IS NULL, s.prompt_tokens, NULL), iif(s.repeats IS NULL, s.completion_tokens, NULL),
       iif(s.repeats IS NULL, s.total_tokens, NULL), iif(s.repeats IS NULL, s.cost_usd, NULL)
FROM hush_traces t
JOIN hush_spans s ON s.trace = t.id
WHERE t.trace_id = ? AND s.end_seq > 0 AND s.node IS NOT NULL

-- name: node_content
SELECT s.attributes, NULL, NULL, s.exact, s.large, s.id
FROM hush_traces t
JOIN hush_spans s ON s.trace = t.id
WHERE t.trace_id = ? AND s.span_id = ?

-- name: node_metadata
SELECT s.node ->> 'metadata'
FROM hush_traces t
JOIN hush_spans s ON s.trace = t.id
WHERE t.trace_id = ? AND s.span_id = ?

-- name: payloads_of_span
SELECT l.key, p.json FROM hush_span_payloads l JOIN hush_payloads p ON p.id = l.payload WHERE l.span = ?

-- name: media_of_span
SELECT m.data
FROM hush_media m
JOIN hush_span_media l ON l.media = m.id
WHERE l.span = ?1 AND m.digest = ?2
LIMIT 1

-- name: origins
SELECT id, resource, resource_schema_url, scope, exact FROM hush_origins WHERE id = ?
