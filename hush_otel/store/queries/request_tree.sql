-- What the tree of one request shows, without the payloads (input_data, output_data, attributes).
-- is_node: written by insert_node_trace. Such a row names its parent by node name and context until its
-- parent_span_id is resolved. parent_is_remote: OTLP Span.flags bit 9, the parent lives in another service.
-- cost_source: where a computed cost comes from; NULL: it was given.
-- A node that gives both its times and no duration took what lies between them.
SELECT n.trace_id,
       n.span_id,
       CASE WHEN s.parent_span_id IS NOT NULL THEN lower(hex(s.parent_span_id)) END AS parent_span_id,
       (s.flags & 512) <> 0 AS parent_is_remote,
       s.node IS NOT NULL AS is_node,
       coalesce(s.title, s.name) AS name,
       n.node_name,
       s.node ->> 'parent_name' AS parent_node,
       n.context_id,
       n.execution_order,
       n.node_type,
       s.kind,
       s.start_ns,
       s.end_ns,
       CASE WHEN n.duration_ms IS NULL AND n.start_time IS NOT NULL AND n.end_time IS NOT NULL
            THEN (s.end_ns - s.start_ns) / 1e6 ELSE n.duration_ms END AS duration_ms,
       n.model,
       n.prompt_tokens,
       n.completion_tokens,
       n.total_tokens,
       n.cost_usd,
       s.cost_source,
       s.repeats,
       n.status,
       n.error,
       q.request_id,
       q.workflow_name,
       q.completed_by IS NOT NULL AS is_complete
FROM hush_requests q
CROSS JOIN hush_spans s ON s.request = q.id
CROSS JOIN node_traces n ON n.id = s.id
WHERE q.request_id = :request_id;
