-- For commands that are given a destination's name. config: JSON, secrets masked.
SELECT id, name, type, config, paused
FROM hush_destinations
WHERE name = :name;
