-- The files of one request, one row for each span that has one, without their bytes.
-- CROSS JOIN: from the request to its spans, by indexes alone.
SELECT lower(hex(m.digest)) AS sha256,
       l.content_type,
       length(m.data) AS size,
       lower(hex(t.trace_id)) AS trace_id,
       lower(hex(s.span_id)) AS span_id,
       coalesce(s.node ->> 'node_name', s.name) AS node_name
FROM hush_requests r
CROSS JOIN hush_spans s ON s.request = r.id
CROSS JOIN hush_traces t ON t.id = s.trace
CROSS JOIN hush_span_media l ON l.span = s.id
CROSS JOIN hush_media m ON m.id = l.media
WHERE r.request_id = :request_id;
