-- For `audit`: what the drain has read by kind, and what became of it without being a row (store/ledger.py).
SELECT name, count
FROM hush_ledger;
