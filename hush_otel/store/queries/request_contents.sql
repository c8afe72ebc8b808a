-- For `diff`: what went into each span of a request and what came out, row by row. They may be long.
SELECT n.trace_id, n.span_id, n.input_data, n.output_data
FROM hush_requests q
CROSS JOIN hush_spans s ON s.request = q.id
CROSS JOIN node_traces n ON n.id = s.id
WHERE q.request_id = :request_id;
