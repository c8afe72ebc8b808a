-- For `hush-otel doctor`: reads all of the full-text index.
SELECT count(*) AS words FROM hush_search_words
