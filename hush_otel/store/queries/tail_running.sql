-- For `tail`: what runs now, at most :limit.
SELECT s.id, s.request, n.request_id, n.workflow_name, n.trace_id, n.span_id,
       CASE WHEN s.parent_span_id IS NOT NULL THEN lower(hex(s.parent_span_id)) END AS parent_span_id,
       coalesce(s.title, s.name) AS name, n.node_name, n.context_id, n.node_type, s.start_ns,
       CASE WHEN n.duration_ms IS NULL AND n.start_time IS NOT NULL AND n.end_time IS NOT NULL
            THEN (s.end_ns - s.start_ns) / 1e6 ELSE n.duration_ms END AS duration_ms,
       n.model, n.prompt_tokens, n.completion_tokens, n.total_tokens, n.cost_usd, s.cost_source, n.status, n.error,
       s.node ->> 'parent_name' AS parent_node
FROM hush_running u
CROSS JOIN hush_spans s ON s.id = u.span
CROSS JOIN node_traces n ON n.id = s.id
ORDER BY u.span
LIMIT :limit;
