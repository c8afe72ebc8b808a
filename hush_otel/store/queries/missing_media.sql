-- The attachments of one request that could not be taken: their names, and why, as their spans say it (hush.media).
-- Only nodes have any. CROSS JOIN: from the request to its spans, by indexes alone.
SELECT m.value ->> 'name' AS name, m.value ->> 'missing' AS why
FROM hush_requests r
CROSS JOIN hush_spans s ON s.request = r.id
CROSS JOIN json_each(CASE
    WHEN s.node IS NULL THEN '[]'
    WHEN instr(s.attributes, '"hush.media"') THEN s.attributes ->> '$."hush.media"'
    WHEN s.large IS NOT NULL THEN (SELECT p.json ->> '$'
                                   FROM hush_span_payloads l JOIN hush_payloads p ON p.id = l.payload
                                   WHERE l.span = s.id AND l.key = 'hush.media')
    END) m
WHERE r.request_id = :request_id AND m.type = 'object' AND m.value ->> 'missing' IS NOT NULL
LIMIT :limit;
