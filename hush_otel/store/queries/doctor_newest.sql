-- For doctor: the newest time at which anything was written, in unix seconds. The last row need not have it: when
-- the clock was set back, those before it do.
SELECT max(at) AS newest
FROM (
    SELECT max(created_at) AS at FROM hush_requests
    UNION ALL
    SELECT max(last_at) FROM (SELECT last_at FROM hush_requests ORDER BY created_at DESC LIMIT 1000)
    UNION ALL
    SELECT created_at FROM hush_spans WHERE id = (SELECT max(id) FROM hush_spans)
);
