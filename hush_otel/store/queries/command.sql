-- What came of a command, for whoever asked; no row until the background process has applied it.
SELECT result
FROM hush_commands
WHERE id = :id;
