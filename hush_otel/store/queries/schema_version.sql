-- Which schema this database has; no row in a database that was never finished.
SELECT value
FROM hush_meta
WHERE key = 'schema_version';
