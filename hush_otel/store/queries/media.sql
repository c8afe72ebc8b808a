-- One file.
SELECT data FROM hush_media WHERE id = :id;
