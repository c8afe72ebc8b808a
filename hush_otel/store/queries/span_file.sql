-- One file of one span.
SELECT l.content_type, m.data
FROM hush_span_media l
CROSS JOIN hush_media m ON m.id = l.media
WHERE l.span = :span AND m.digest = :digest;
