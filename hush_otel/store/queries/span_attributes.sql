-- The attributes of one span, by the number of its row: each cut to :chars characters, and how many it has.
-- Texts come as JSON strings, escapes and all. For spans with more inline than anybody decodes whole: a text that
-- has a NUL ends there. Long texts lie apart: span_long.
SELECT key, type,
       substr(CASE type WHEN 'text' THEN json_quote(value) ELSE value END, 1, :chars) AS json,
       length(CASE type WHEN 'text' THEN json_quote(value) ELSE value END) AS size
FROM hush_spans s
CROSS JOIN json_each(s.attributes)
WHERE s.id = :span
LIMIT :limit;
