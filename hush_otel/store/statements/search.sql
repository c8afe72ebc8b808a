-- What the background process does with the full-text index. Lists of numbers come as JSON.

-- name: exists
-- Or what is left of it.
SELECT 1 WHERE EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'hush_search') OR EXISTS (SELECT 1 FROM hush_search_docs)

-- name: create
-- It keeps no text (content='') and no sizes: the rows have the text, and nothing is ranked but by time.
CREATE VIRTUAL TABLE hush_search USING fts5 (
    words, content = '', columnsize = 0, tokenize = 'unicode61 remove_diacritics 2'
)

-- name: create_words
-- Its dictionary, for words of which only the beginning is known. Takes no room.
CREATE VIRTUAL TABLE hush_search_words USING fts5vocab (hush_search, instance)

-- name: set_option
INSERT INTO hush_search (hush_search, rank) VALUES (?, ?)

-- name: structure
-- Its beginning: a row of 10 is where FTS5 keeps it.
SELECT substr(block, 5, 32) FROM hush_search_data WHERE id = 10

-- name: last_span
SELECT coalesce(max(id), 0) FROM hush_spans

-- name: lower_upto
-- A number above the highest row's may be given once more.
UPDATE hush_meta SET value = min(value, (SELECT coalesce(max(id), 0) FROM hush_spans)) WHERE key = 'search_upto'

-- name: changed
SELECT span FROM hush_search_again ORDER BY span LIMIT ?

-- name: count_again
SELECT count(*) FROM hush_search_again

-- name: done
DELETE FROM hush_search_again WHERE span IN (SELECT value FROM json_each(?))

-- name: again
INSERT OR IGNORE INTO hush_search_again (span) SELECT value FROM json_each(?)

-- name: again_of_request
INSERT OR IGNORE INTO hush_search_again (span)
SELECT d.span FROM hush_spans s CROSS JOIN hush_search_docs d ON d.span = s.id WHERE s.request = ?

-- name: next_spans
-- In the order in which they came.
SELECT id FROM hush_spans WHERE id > ? ORDER BY id LIMIT ?

-- name: rows
-- Only the beginning of what is long. Running spans say the rest when they end.
SELECT s.id, s.request, s.name, s.status_message, substr(s.attributes, 1, :chars), substr(s.events, 1, :chars), s.large
FROM json_each(:spans) j CROSS JOIN hush_spans s ON s.id = j.value
WHERE s.state <> 0
ORDER BY s.id

-- name: has_doc
SELECT span FROM hush_search_docs WHERE span IN (SELECT value FROM json_each(?))

-- name: long_texts
SELECT payload FROM hush_span_payloads WHERE span = ? ORDER BY key

-- name: last_doc
SELECT max(doc) FROM hush_search_docs WHERE doc BETWEEN ? AND ?

-- name: insert_doc
INSERT INTO hush_search (rowid, words) VALUES (?, ?)

-- name: forget_doc
INSERT INTO hush_search (hush_search, rowid, words) VALUES ('delete', ?, ?)

-- name: note_span
INSERT OR REPLACE INTO hush_search_docs (span, doc) VALUES (?, ?)

-- name: docs_of
SELECT DISTINCT d.doc FROM json_each(?) j CROSS JOIN hush_search_docs d ON d.span = j.value ORDER BY d.doc

-- name: spans_of_doc
SELECT span FROM hush_search_docs WHERE doc = ? ORDER BY span

-- name: forget_spans_of_doc
DELETE FROM hush_search_docs WHERE doc = ?

-- name: merge
INSERT INTO hush_search (hush_search, rank) VALUES ('merge', ?)

-- name: empty_pages
-- Nobody asks the index by then: its pages go a few at a time, so that no transaction is long.
DELETE FROM hush_search_data WHERE id IN (SELECT id FROM hush_search_data ORDER BY id DESC LIMIT ?)

-- name: empty_docs
DELETE FROM hush_search_docs WHERE span IN (SELECT span FROM hush_search_docs LIMIT ?)

-- name: empty_again
DELETE FROM hush_search_again

-- name: drop_words
DROP TABLE IF EXISTS hush_search_words

-- name: drop
DROP TABLE IF EXISTS hush_search

-- name: drop_by_force
DELETE FROM sqlite_schema WHERE name = 'hush_search'
