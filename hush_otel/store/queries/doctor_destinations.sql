-- Destinations with what is shown of their configuration, secrets masked.
SELECT x.name, x.type, x.config, x.paused, x.last_error,
       (SELECT count(*) FROM hush_deliveries d WHERE d.destination = x.id AND d.state = 'dead') AS dead
FROM hush_destinations x ORDER BY x.name;
