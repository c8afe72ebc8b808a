-- For `audit`: how far each segment is drained, at the same moment as the rows.
SELECT segment_id, position
FROM hush_segments;
