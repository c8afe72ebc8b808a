-- A delivery is divided by what was answered to its parts (store/division.py).

-- name: insert_refused
INSERT INTO hush_deliveries (request, destination, from_seq, to_seq, only_seqs, state, attempts, last_error,
                             span_count, next_attempt_at, created_at, settled_at)
SELECT request, destination, from_seq, to_seq, :seqs, iif(:again, 'pending', 'dead'), attempts, :words, :count,
       iif(:again, :now, NULL), created_at, iif(:again, NULL, :now)
FROM hush_deliveries WHERE id = :id

-- name: leave_refused_out
UPDATE hush_deliveries SET
    span_count = max(span_count - :count, 0),
    without_seqs = (SELECT json_group_array(value) FROM (
        SELECT value FROM json_each(coalesce(without_seqs, '[]')) UNION SELECT value FROM json_each(:seqs)))
WHERE id = :id

-- name: insert_accepted
INSERT INTO hush_deliveries (request, destination, from_seq, to_seq, only_seqs, without_seqs, state, attempts,
                             last_error, span_count, rejected, created_at, settled_at)
SELECT request, destination, from_seq, :done_seq, only_seqs, without_seqs, 'delivered', attempts, :note, :count,
       :rejected, created_at, :now
FROM hush_deliveries WHERE id = :id

-- name: begin_after
UPDATE hush_deliveries SET from_seq = :done_seq, span_count = max(span_count - :count, 0) WHERE id = :id

-- name: note_refusal
UPDATE hush_destinations SET last_error = ?, last_error_at = ? WHERE id = ?
