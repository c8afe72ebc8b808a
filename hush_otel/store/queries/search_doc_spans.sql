-- For the search: the spans of a document, in the order of its index, with the beginning of what they say.
SELECT s.id, lower(hex(t.trace_id)) AS trace_id, lower(hex(s.span_id)) AS span_id, s.name, s.status_message,
       substr(s.attributes, 1, :chars) AS attributes, substr(s.events, 1, :chars) AS events, s.large
FROM hush_search_docs d CROSS JOIN hush_spans s ON s.id = d.span CROSS JOIN hush_traces t ON t.id = s.trace
WHERE d.doc = :doc
