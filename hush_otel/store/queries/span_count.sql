-- For the page, every few seconds: how many spans are stored, by the ledger (store/ledger.py) and not by counting rows:
-- those that a record has ended, those that their process's death has, and those that run.
SELECT max(0,
           coalesce((SELECT sum(CASE WHEN name IN ('end', 'node', 'interrupted', 'used') THEN count
                                     WHEN name IN ('mended', 'kept', 'unreadable', 'pruned') THEN -count
                                END) FROM hush_ledger), 0)
           - coalesce((SELECT sum(count) FROM hush_losses WHERE reason IN ('duplicate', 'provisional')), 0)
           + (SELECT count(*) FROM hush_running)) AS spans;
