-- One span for the page, without its attributes, events and links (span_attributes, span_events, span_links).
-- metadata is cut to :chars characters; metadata_size is how many it has.
SELECT s.id,
       n.node_name, s.name, s.kind, n.status, s.status_message, n.error,
       n.start_time, n.end_time, n.duration_ms,
       n.model, n.prompt_tokens, n.completion_tokens, n.total_tokens, n.cost_usd, s.cost_source,
       n.user_id, n.session_id, n.node_type, n.context_id, n.execution_order, n.parent_name,
       n.trace_id, n.span_id,
       CASE WHEN s.parent_span_id IS NOT NULL THEN lower(hex(s.parent_span_id)) END AS parent_span_id,
       coalesce(s.trace_state, '') AS trace_state,
       s.start_ns, s.end_ns,
       substr(n.metadata, 1, :chars) AS metadata, length(n.metadata) AS metadata_size,
       s.dropped,
       o.resource, o.scope
FROM hush_traces t
CROSS JOIN hush_spans s ON s.trace = t.id AND s.span_id = :span_id
CROSS JOIN node_traces n ON n.id = s.id
CROSS JOIN hush_origins o ON o.id = s.origin
WHERE t.trace_id = :trace_id AND n.request_id = :request_id;
