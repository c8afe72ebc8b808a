-- For the search: of some requests those that hold some words.
SELECT j.value AS id FROM json_each(:ids) j
WHERE EXISTS (SELECT 1 FROM hush_search
              WHERE hush_search MATCH :words AND rowid BETWEEN j.value << 20 AND (j.value << 20) + 1048575)
