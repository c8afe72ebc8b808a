-- The receiving side of the ledger, written by the drain within its transactions.

-- name: count
INSERT INTO hush_ledger (name, count) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET count = count + excluded.count
