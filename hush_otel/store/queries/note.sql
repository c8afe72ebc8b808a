-- For `status`: something that the background process has noted down.
SELECT value
FROM hush_meta
WHERE key = :name;
