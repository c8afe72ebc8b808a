-- For the search: the beginnings of a span's long attributes.
SELECT substr(p.json, 1, :chars) AS json
FROM hush_span_payloads l CROSS JOIN hush_payloads p ON p.id = l.payload
WHERE l.span = :span
ORDER BY l.key
