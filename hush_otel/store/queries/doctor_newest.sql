-- When the last row was written, in unix seconds: by the largest id, not by looking at all of them.
SELECT max(created_at) AS newest FROM (SELECT created_at FROM hush_spans ORDER BY id DESC LIMIT 100);
