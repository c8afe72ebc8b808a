-- For `audit`: spans that are known to run. As many rows have no end.
SELECT count(*) AS running
FROM hush_running;
