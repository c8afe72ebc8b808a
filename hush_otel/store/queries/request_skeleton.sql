-- As request_tree, for 50,000 rows at once: ids are blobs, which SQLite hands out in half the time of hex.
SELECT t.trace_id,
       s.span_id,
       s.parent_span_id,
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
CROSS JOIN hush_traces t ON t.id = s.trace
CROSS JOIN node_traces n ON n.id = s.id
WHERE q.request_id = :request_id;
