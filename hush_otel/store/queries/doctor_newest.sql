-- When the last row was written, in unix seconds.
SELECT created_at AS newest FROM hush_spans WHERE id = (SELECT max(id) FROM hush_spans);
