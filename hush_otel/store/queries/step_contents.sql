-- For the page's comparison: what went into one span of a request and what came out, whole.
SELECT n.input_data AS input, n.output_data AS output
FROM hush_traces t
CROSS JOIN hush_spans s ON s.trace = t.id AND s.span_id = :span_id
CROSS JOIN node_traces n ON n.id = s.id
WHERE t.trace_id = :trace_id AND n.request_id = :request_id;
