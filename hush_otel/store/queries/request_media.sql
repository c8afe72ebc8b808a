-- The files of one request, each once, without their bytes. CROSS JOIN: from the request to its spans, by indexes alone.
SELECT m.id, lower(hex(m.digest)) AS sha256, min(l.content_type) AS content_type, length(m.data) AS size
FROM hush_requests r
CROSS JOIN hush_spans s ON s.request = r.id
CROSS JOIN hush_span_media l ON l.span = s.id
CROSS JOIN hush_media m ON m.id = l.media
WHERE r.request_id = :request_id
GROUP BY m.id
ORDER BY m.id;
