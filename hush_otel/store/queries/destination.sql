-- For commands that are given a destination's name.
SELECT id, name, type, paused
FROM hush_destinations
WHERE name = :name;
