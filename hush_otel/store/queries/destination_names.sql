-- All destinations' names, for the message about one that is not there.
SELECT name
FROM hush_destinations
ORDER BY name;
