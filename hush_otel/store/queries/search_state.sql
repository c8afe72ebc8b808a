-- For people and pages: whether words are found, and how many spans wait to be. About: what was deleted counts.
SELECT (SELECT value FROM hush_meta WHERE key = 'search_state') AS state,
       max((SELECT coalesce(max(id), 0) FROM hush_spans)
           - coalesce((SELECT value FROM hush_meta WHERE key = 'search_upto'), 0), 0)
       + (SELECT count(*) FROM hush_search_again) AS behind
