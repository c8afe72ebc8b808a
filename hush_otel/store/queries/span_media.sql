-- The files of one span, without their bytes.
SELECT lower(hex(m.digest)) AS sha256, l.content_type, length(m.data) AS size
FROM hush_span_media l
CROSS JOIN hush_media m ON m.id = l.media
WHERE l.span = :span
ORDER BY l.number;
