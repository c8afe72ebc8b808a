-- For the search: the first word of the dictionary that is not before :word.
SELECT term FROM hush_search_words WHERE term >= :word LIMIT 1
