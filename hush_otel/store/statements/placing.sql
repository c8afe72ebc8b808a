-- Node traces that have no parent yet, and those among which it is looked for.

-- name: queued_seq
SELECT coalesce(max(queued_seq), 0) FROM hush_request_destinations WHERE request = ?

-- name: nodes_after
SELECT s.id, s.trace, s.span_id, s.parent_span_id, s.node, s.start_ns, s.end_ns
FROM hush_spans s WHERE s.request = ? AND s.end_seq > ? AND s.node IS NOT NULL
ORDER BY s.end_seq

-- name: nodes_called
SELECT s.id, s.trace, s.span_id, s.parent_span_id, s.node, s.start_ns, s.end_ns
FROM json_each(:keys) k
CROSS JOIN hush_spans s INDEXED BY hush_spans_node ON s.trace = :trace AND s.node_key = k.value
WHERE s.request = :request AND s.end_seq BETWEEN 1 AND :queued
ORDER BY s.end_seq

-- name: top
-- What stands above the first node: the root, if there was one when it was queued.
WITH RECURSIVE up (span_id, parent_span_id, node) AS (
    SELECT * FROM (
        SELECT s.span_id, s.parent_span_id, s.node
        FROM hush_spans s WHERE s.request = :request AND s.end_seq BETWEEN 1 AND :queued AND s.node IS NOT NULL
        ORDER BY s.end_seq LIMIT 1
    )
    UNION
    SELECT s.span_id, s.parent_span_id, s.node
    FROM up JOIN hush_spans s ON s.trace = :trace AND s.span_id = up.parent_span_id
    WHERE s.node IS NOT NULL
)
SELECT span_id, node FROM up WHERE parent_span_id IS NULL

-- name: first_root
-- Reads all of the request: only where the root came after what stands first.
SELECT s.span_id FROM hush_spans s
WHERE s.request = :request AND s.end_seq BETWEEN 1 AND :queued AND s.node IS NOT NULL
  AND s.node ->> '$.parent_name' IS NULL
ORDER BY s.end_seq LIMIT 1

-- name: set_parent
UPDATE hush_spans SET parent_span_id = ?, attributes = CASE WHEN ? THEN
    json_set(attributes, '$."hush.orphan"', json('true'))
    ELSE json_remove(attributes, '$."hush.orphan"') END
WHERE id = ?

-- name: usage_after
-- Nodes that say what they took.
SELECT s.id, s.span_id, s.node_type, s.prompt_tokens, s.completion_tokens, s.total_tokens, s.cost_usd, s.cost_source,
       s.repeats
FROM hush_spans s
WHERE s.request = :request AND s.end_seq > :queued AND s.node IS NOT NULL
  AND coalesce(s.prompt_tokens, s.completion_tokens, s.total_tokens, s.cost_usd) IS NOT NULL

-- name: usage_above
-- Nodes above one that say what they took, and have been counted.
WITH RECURSIVE up (trace, span_id) AS (
    SELECT s.trace, s.parent_span_id FROM hush_spans s WHERE s.id = ?
    UNION
    SELECT s.trace, s.parent_span_id
    FROM up JOIN hush_spans s ON s.trace = up.trace AND s.span_id = up.span_id
)
SELECT s.id, s.span_id, s.node_type, s.prompt_tokens, s.completion_tokens, s.total_tokens, s.cost_usd, s.cost_source,
       s.repeats
FROM up CROSS JOIN hush_spans s ON s.trace = up.trace AND s.span_id = up.span_id
WHERE s.node IS NOT NULL AND s.repeats IS NULL

-- name: tree_of_nodes
SELECT s.span_id, s.parent_span_id, s.node FROM hush_spans s
WHERE s.request = ? AND s.end_seq > 0 AND s.node IS NOT NULL

-- name: take_back
UPDATE hush_requests SET
    prompt_tokens = prompt_tokens - coalesce(:prompt_tokens, 0),
    completion_tokens = completion_tokens - coalesce(:completion_tokens, 0),
    total_tokens = total_tokens - coalesce(:total_tokens, 0),
    cost_usd = cost_usd - coalesce(:cost_usd, 0),
    computed_usd = computed_usd - coalesce(:computed_usd, 0)
WHERE id = :request

-- name: repeat_node
-- A cost that was computed for it goes.
UPDATE hush_spans SET repeats = 1, cost_usd = iif(cost_source IS NULL, cost_usd, NULL), cost_source = NULL
WHERE id = ?
