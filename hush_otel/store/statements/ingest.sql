-- What the drain writes. Parameters are positional in the order of the columns.

-- name: insert_span
INSERT INTO hush_spans (
    trace, span_id, parent_span_id, request, origin, route, state, end_seq, flags, name, kind,
    start_ns, end_ns, status_code, status_message, trace_state, attributes, events, links, dropped, exact,
    model, prompt_tokens, completion_tokens, total_tokens, cost_usd, cost_source, user_id, session_id,
    node_type, repeats, node, node_key, created_at, large, title
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (trace, span_id) DO NOTHING

-- name: insert_numbered_span
-- There is one writer, so that it can number rows before they are written.
INSERT INTO hush_spans (
    id, trace, span_id, parent_span_id, request, origin, route, state, end_seq, flags, name, kind,
    start_ns, end_ns, status_code, status_message, trace_state, attributes, events, links, dropped, exact,
    model, prompt_tokens, completion_tokens, total_tokens, cost_usd, cost_source, user_id, session_id,
    node_type, repeats, node, node_key, created_at, large, title
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (trace, span_id) DO NOTHING

-- name: last_span
SELECT max(id) FROM hush_spans

-- name: is_running
SELECT 1 FROM hush_spans WHERE id = ? AND state = 0

-- name: replace_span
UPDATE hush_spans SET
    trace = ?, span_id = ?, parent_span_id = ?, request = ?, origin = ?, route = ?, state = ?, end_seq = ?,
    flags = ?, name = ?, kind = ?, start_ns = ?, end_ns = ?, status_code = ?, status_message = ?,
    trace_state = ?, attributes = ?, events = ?, links = ?, dropped = ?, exact = ?, model = ?,
    prompt_tokens = ?, completion_tokens = ?, total_tokens = ?, cost_usd = ?, cost_source = ?, user_id = ?,
    session_id = ?, node_type = ?, repeats = ?, node = ?, node_key = ?, created_at = ?, large = ?,
    title = ?
WHERE id = ?

-- name: end_span
-- What identifies the span stays: its index entries are not written again.
UPDATE hush_spans SET
    request = ?, route = ?, state = ?, end_seq = ?, flags = ?, name = ?, kind = ?, start_ns = ?, end_ns = ?,
    status_code = ?, status_message = ?, trace_state = ?, attributes = ?, events = ?, links = ?, dropped = ?,
    exact = ?, model = ?, prompt_tokens = ?, completion_tokens = ?, total_tokens = ?, cost_usd = ?,
    cost_source = ?, user_id = ?, session_id = ?, node_type = ?, repeats = ?, large = ?, title = ?
WHERE id = ?

-- name: insert_payload
INSERT OR IGNORE INTO hush_payloads (digest, json) VALUES (?, ?)

-- name: find_payload
SELECT id FROM hush_payloads WHERE digest = ?

-- name: refer_to_payload
INSERT OR REPLACE INTO hush_span_payloads (span, key, payload) VALUES (?, ?, ?)

-- name: payloads_of_row
SELECT payload FROM hush_span_payloads WHERE span = ?

-- name: forget_payloads
DELETE FROM hush_span_payloads WHERE span = ?

-- name: find_span
SELECT id, state, route, request FROM hush_spans WHERE trace = ? AND span_id = ?

-- name: last_trace
SELECT coalesce(max(id), 0) FROM hush_traces

-- name: ended_span
-- And what it counts.
SELECT iif(flags & 512, NULL, parent_span_id), end_ns, node IS NOT NULL,
       node_type, prompt_tokens, completion_tokens, total_tokens, cost_usd, cost_source, repeats, request
FROM hush_spans WHERE trace = ? AND span_id = ? AND state = 1

-- name: calls_of_trace
-- The rows that count, and have a parent of their process.
SELECT parent_span_id, start_ns,
       node_type, prompt_tokens, completion_tokens, total_tokens, cost_usd, cost_source, repeats
FROM hush_spans
WHERE trace = ? AND state = 1 AND parent_span_id IS NOT NULL
  AND coalesce(prompt_tokens, completion_tokens, total_tokens, cost_usd) IS NOT NULL
  AND node IS NULL AND flags & 512 = 0 AND repeats IS NULL
LIMIT ?

-- name: repeat_span
-- A cost that was computed for it goes.
UPDATE hush_spans SET repeats = 1, cost_usd = iif(cost_source IS NULL, cost_usd, NULL), cost_source = NULL
WHERE trace = ? AND span_id = ?

-- name: find_route
SELECT route FROM hush_spans WHERE id = ?

-- name: set_route
-- With a new end_seq: destinations that were queued up to the old one have not had it.
UPDATE hush_spans SET route = ?, end_seq = CASE WHEN state = 0 THEN NULL ELSE ? END WHERE id = ?

-- name: span_exists
SELECT 1 FROM hush_spans WHERE trace = ? AND span_id = ?

-- name: count_occurrences
SELECT count(*) FROM hush_spans WHERE trace = ? AND node_key = ?

-- name: insert_running
INSERT OR REPLACE INTO hush_running (span, writer_id) VALUES (?, ?)

-- name: delete_running
DELETE FROM hush_running WHERE span = ?

-- name: find_provisional
SELECT provisional FROM hush_running WHERE span = ?

-- name: set_provisional
UPDATE hush_running SET provisional = ? WHERE span = ?

-- name: all_running
SELECT t.trace_id, s.span_id, s.id, s.request, s.large
FROM hush_running r
JOIN hush_spans s ON s.id = r.span
JOIN hush_traces t ON t.id = s.trace

-- name: running_of_writer
SELECT t.trace_id, s.span_id, s.id, s.request, s.start_ns, r.provisional
FROM hush_running r
JOIN hush_spans s ON s.id = r.span
JOIN hush_traces t ON t.id = s.trace
WHERE r.writer_id = ?

-- name: interrupt_span
UPDATE hush_spans SET
    state = 2, end_seq = ?, end_ns = max(start_ns, ?), status_code = 2, status_message = ?,
    attributes = json_set(attributes, '$."hush.incomplete"', json('true'))
WHERE id = ?

-- name: find_traces
-- Without a request: that one was pruned.
SELECT t.trace_id, t.id, t.request, r.request_id, r.named
FROM hush_traces t
LEFT JOIN hush_requests r ON r.id = t.request
WHERE t.trace_id IN ({keys})

-- name: find_requests
SELECT request_id, id FROM hush_requests WHERE request_id IN ({keys})

-- name: last_ids
-- There is one writer, so that it can number rows before they are written.
SELECT coalesce((SELECT max(id) FROM hush_traces), 0),
       coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'hush_requests'), 0)

-- name: insert_trace
INSERT INTO hush_traces (id, trace_id, request) VALUES (?, ?, ?)

-- name: move_traces
-- Before the spans move: every trace that has some there.
UPDATE hush_traces SET request = ?1
WHERE request = ?2 AND id IN (SELECT trace FROM hush_spans WHERE request = ?2)

-- name: move_trace
UPDATE hush_traces SET request = ? WHERE id = ?

-- name: find_request
SELECT id, named FROM hush_requests WHERE request_id = ?

-- name: insert_request
INSERT INTO hush_requests (request_id, named, created_at, last_at) VALUES (?, ?, ?, ?)

-- name: insert_new_request
INSERT INTO hush_requests (
    id, request_id, named, trace, workflow_name, user_id, session_id, start_ns, end_ns, node_count, running_count,
    error_count, prompt_tokens, completion_tokens, total_tokens, cost_usd, computed_usd, error_message, max_seq,
    created_at, last_at, completed_at, completed_by, due_at, has_nodes, writer_id
) VALUES (
    :request, :request_id, :named, :trace, coalesce(:root_name, :workflow_name), :user_id, :session_id, :start_ns,
    :end_ns, :nodes, :running, :errors, :prompt_tokens, :completion_tokens, :total_tokens, :cost_usd, :computed_usd,
    :error_message, :max_seq, :now, :now, :completed_at, :completed_by, :completed_at, :has_nodes, :writer_id
)

-- name: set_request_trace
UPDATE hush_requests SET trace = ? WHERE id = ? AND trace IS NULL

-- name: name_request
UPDATE hush_requests SET request_id = ?, named = 1 WHERE id = ?

-- name: move_spans
UPDATE hush_spans SET request = ? WHERE request = ?

-- name: move_deliveries
UPDATE hush_deliveries SET request = ? WHERE request = ?

-- name: move_request_destinations
INSERT INTO hush_request_destinations (request, destination, whole, queued_seq)
SELECT ?, destination, whole, queued_seq FROM hush_request_destinations WHERE request = ?
ON CONFLICT (request, destination) DO UPDATE SET
    whole = max(whole, excluded.whole),
    queued_seq = CASE WHEN excluded.whole > whole THEN 0 ELSE queued_seq END

-- name: move_askers
INSERT OR IGNORE INTO hush_askers (writer_id, request, destination)
SELECT writer_id, ?, destination FROM hush_askers WHERE request = ?

-- name: lower_queued
-- Rows that join a request below what was queued of it are queued with the next stretch. What lies between
-- is sent once more: at least once.
UPDATE hush_request_destinations SET queued_seq = min(queued_seq, coalesce(
    (SELECT min(end_seq) - 1 FROM hush_spans WHERE request = :old AND end_seq > 0), queued_seq))
WHERE request = :new

-- name: first_to_say
-- Of two requests that have become one the span that ended first says whose it is, as if they had always been one.
UPDATE hush_requests AS r SET
    user_id = coalesce((SELECT s.user_id FROM hush_spans s WHERE s.request = r.id AND s.end_seq > 0
                        AND s.user_id IS NOT NULL ORDER BY s.end_seq LIMIT 1), r.user_id),
    session_id = coalesce((SELECT s.session_id FROM hush_spans s WHERE s.request = r.id AND s.end_seq > 0
                           AND s.session_id IS NOT NULL ORDER BY s.end_seq LIMIT 1), r.session_id)
WHERE r.id = ?

-- name: merge_request
UPDATE hush_requests AS r SET
    node_count = r.node_count + o.node_count,
    running_count = r.running_count + o.running_count,
    error_count = r.error_count + o.error_count,
    prompt_tokens = coalesce(min(r.prompt_tokens + o.prompt_tokens, 9223372036854775807), r.prompt_tokens, o.prompt_tokens),
    completion_tokens = coalesce(min(r.completion_tokens + o.completion_tokens, 9223372036854775807), r.completion_tokens, o.completion_tokens),
    total_tokens = coalesce(min(r.total_tokens + o.total_tokens, 9223372036854775807), r.total_tokens, o.total_tokens),
    cost_usd = coalesce(min(r.cost_usd + o.cost_usd, 1e308), r.cost_usd, o.cost_usd),
    computed_usd = coalesce(min(r.computed_usd + o.computed_usd, 1e308), r.computed_usd, o.computed_usd),
    start_ns = coalesce(min(r.start_ns, o.start_ns), r.start_ns, o.start_ns),
    end_ns = coalesce(max(r.end_ns, o.end_ns), r.end_ns, o.end_ns),
    error_message = coalesce(r.error_message, o.error_message),
    workflow_name = coalesce(r.workflow_name, o.workflow_name),
    user_id = coalesce(r.user_id, o.user_id),
    session_id = coalesce(r.session_id, o.session_id),
    tracer_type = coalesce(r.tracer_type, o.tracer_type),
    tracer_config = coalesce(r.tracer_config, o.tracer_config),
    max_seq = max(r.max_seq, o.max_seq),
    due_at = coalesce(min(r.due_at, o.due_at), r.due_at, o.due_at),
    dirty_at = coalesce(min(r.dirty_at, o.dirty_at), r.dirty_at, o.dirty_at),
    has_nodes = max(r.has_nodes, o.has_nodes),
    completed_at = coalesce(r.completed_at, o.completed_at),
    completed_by = coalesce(r.completed_by, o.completed_by),
    writer_id = coalesce(r.writer_id, o.writer_id)
FROM hush_requests AS o
WHERE r.id = ? AND o.id = ?

-- name: forget_request_destinations
DELETE FROM hush_request_destinations WHERE request = ?

-- name: forget_askers
DELETE FROM hush_askers WHERE request = ?

-- name: move_labels
INSERT OR IGNORE INTO hush_request_labels (request, kind, label, created_at)
SELECT n.id, l.kind, l.label, n.created_at
FROM hush_requests n
CROSS JOIN hush_request_labels l
WHERE n.id = ? AND l.request = ?

-- name: forget_labels
DELETE FROM hush_request_labels WHERE request = ?

-- name: forget_tags
DELETE FROM hush_request_labels WHERE request = ? AND kind = 1

-- name: forget_request
DELETE FROM hush_requests WHERE id = ?

-- name: label_new_request
-- That this batch has begun, so that its time is known.
INSERT OR IGNORE INTO hush_request_labels (request, kind, label, created_at) VALUES (?, ?, ?, ?)

-- name: label_request
INSERT OR IGNORE INTO hush_request_labels (request, kind, label, created_at)
SELECT r.id, ?2, ?3, r.created_at FROM hush_requests r WHERE r.id = ?1

-- name: roll_up
-- A completed request whose rows grew is due again: after 1 s of quiet, 5 s at most. Sums of absurd counts and
-- amounts stay at the largest (mapping/counted.py): one more would make integers REAL, and an amount infinite.
UPDATE hush_requests SET
    node_count = node_count + :nodes,
    running_count = running_count + :running,
    error_count = error_count + :errors,
    prompt_tokens = coalesce(min(prompt_tokens + :prompt_tokens, 9223372036854775807), prompt_tokens, :prompt_tokens),
    completion_tokens = coalesce(min(completion_tokens + :completion_tokens, 9223372036854775807), completion_tokens, :completion_tokens),
    total_tokens = coalesce(min(total_tokens + :total_tokens, 9223372036854775807), total_tokens, :total_tokens),
    cost_usd = coalesce(min(cost_usd + :cost_usd, 1e308), cost_usd, :cost_usd),
    computed_usd = coalesce(min(computed_usd + :computed_usd, 1e308), computed_usd, :computed_usd),
    start_ns = coalesce(min(start_ns, :start_ns), start_ns, :start_ns),
    end_ns = coalesce(max(end_ns, :end_ns), end_ns, :end_ns),
    error_message = coalesce(error_message, :error_message),
    workflow_name = CASE WHEN :root_name IS NOT NULL THEN :root_name ELSE coalesce(workflow_name, :workflow_name) END,
    user_id = coalesce(user_id, :user_id),
    session_id = coalesce(session_id, :session_id),
    max_seq = max(max_seq, :max_seq),
    has_nodes = max(has_nodes, :has_nodes),
    writer_id = coalesce(writer_id, :writer_id),
    last_at = :now,
    dirty_at = CASE WHEN completed_by IS NOT NULL AND :max_seq > 0 THEN coalesce(dirty_at, :now) ELSE dirty_at END,
    due_at = CASE WHEN completed_by IS NOT NULL AND :max_seq > 0
                  THEN min(:now + 1.0, coalesce(dirty_at, :now) + 5.0) ELSE due_at END
WHERE id = :request

-- name: mend_request
-- An interrupted span has ended after all, or a span has moved away: what it alone has contributed goes.
UPDATE hush_requests SET
    start_ns = (SELECT min(start_ns) FROM hush_spans WHERE request = :request),
    end_ns = (SELECT max(end_ns) FROM hush_spans WHERE request = :request),
    error_message = (SELECT n.error FROM hush_spans s JOIN node_traces n ON n.id = s.id
                     WHERE s.request = :request AND s.status_code = 2 ORDER BY s.end_seq LIMIT 1)
WHERE id = :request

-- name: forget_models
DELETE FROM hush_request_labels WHERE request = :request AND kind = 0

-- name: mend_models
INSERT OR IGNORE INTO hush_request_labels (request, kind, label, created_at)
SELECT r.id, 0, s.model, r.created_at
FROM hush_requests r
CROSS JOIN hush_spans s ON s.request = r.id
WHERE r.id = :request AND s.model IS NOT NULL

-- name: complete_request
UPDATE hush_requests SET completed_by = ?, completed_at = ?, due_at = ?, last_at = ?
WHERE id = ? AND completed_by IS NULL

-- name: mark_request
UPDATE hush_requests SET
    tracer_type = ?, tracer_config = ?, last_at = ?, due_at = ?
WHERE id = ?

-- name: tags_of_request
SELECT coalesce(span_tags, '[]'), coalesce(marked_tags, '[]') FROM hush_requests WHERE id = ?

-- name: set_tags
UPDATE hush_requests SET span_tags = ?, marked_tags = ?, tags = ? WHERE id = ?

-- name: rows_with_tags
-- All keys of tags end like this; the attributes are looked at by whoever asks.
SELECT attributes FROM hush_spans WHERE request = ? AND instr(attributes, '.tags":') > 0 ORDER BY id

-- name: complete_idle
UPDATE hush_requests SET completed_by = 'timeout', completed_at = :now, due_at = :now
WHERE completed_by IS NULL AND last_at <= :before AND running_count <= 0

-- name: has_open
SELECT 1 FROM hush_requests INDEXED BY hush_requests_open
WHERE completed_by IS NULL AND running_count <= 0 LIMIT 1

-- name: complete_orphaned
UPDATE hush_requests SET completed_by = 'owner_died', completed_at = :now, due_at = :now
WHERE completed_by IS NULL AND writer_id = :writer_id AND running_count <= 0

-- name: find_origin
SELECT id FROM hush_origins WHERE digest = ?

-- name: insert_origin
INSERT INTO hush_origins (digest, resource, resource_schema_url, scope, exact) VALUES (?, ?, ?, ?, ?)

-- name: find_destination
SELECT id, digest, fingerprints FROM hush_destinations WHERE name = ?

-- name: same_destination
SELECT name FROM hush_destinations WHERE digest = ? ORDER BY id LIMIT 1

-- name: insert_destination
INSERT INTO hush_destinations (name, type, config, digest, fingerprints) VALUES (?, ?, ?, ?, ?)

-- name: update_destination
-- A new configuration lifts a pause or a hold: what was wrong may be mended now.
UPDATE hush_destinations SET
    type = ?, config = ?, digest = ?, fingerprints = ?, paused = NULL, hold_until = 0, hold_s = 0, failures = 0
WHERE id = ?

-- name: resume_deliveries
UPDATE hush_deliveries INDEXED BY hush_deliveries_due SET state = 'pending', next_attempt_at = ?
WHERE destination = ? AND state IN ('pending', 'sending', 'paused') AND state <> 'sending'

-- name: set_secrets
INSERT OR REPLACE INTO hush_secrets (destination, literals) VALUES (?, ?)

-- name: all_routes
SELECT route, destination FROM hush_routes

-- name: insert_route
INSERT INTO hush_routes (route, destination) VALUES (?, ?)

-- name: ask
-- What had a share and is asked for as a whole now has all of it sent.
INSERT INTO hush_request_destinations (request, destination, whole) VALUES (?, ?, ?)
ON CONFLICT (request, destination) DO UPDATE SET
    whole = max(whole, excluded.whole),
    queued_seq = CASE WHEN excluded.whole > whole THEN 0 ELSE queued_seq END

-- name: insert_asker
INSERT OR IGNORE INTO hush_askers (writer_id, request, destination) VALUES (?, ?, ?)

-- name: count_loss
INSERT INTO hush_losses (reason, count, bytes) VALUES (?, ?, ?)
ON CONFLICT (reason) DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes

-- name: find_segment
SELECT position, ended, dropped FROM hush_segments WHERE segment_id = ?

-- name: save_segment
INSERT INTO hush_segments (segment_id, writer_id, position, ended, dropped, updated_at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (segment_id) DO UPDATE SET
    position = excluded.position, ended = excluded.ended, dropped = excluded.dropped, updated_at = excluded.updated_at

-- name: forget_segments
DELETE FROM hush_segments
WHERE ended = 1 AND updated_at < ? AND lower(hex(segment_id)) NOT IN (SELECT value FROM json_each(?))

-- name: load_seq
SELECT value FROM hush_meta WHERE key = 'end_seq'

-- name: save_seq
INSERT OR REPLACE INTO hush_meta (key, value) VALUES ('end_seq', ?)

-- name: insert_media
INSERT OR IGNORE INTO hush_media (digest, data) VALUES (?, ?)

-- name: refer_to_media
INSERT INTO hush_span_media (span, number, media, content_type)
VALUES (?, ?, (SELECT id FROM hush_media WHERE digest = ?), ?)
