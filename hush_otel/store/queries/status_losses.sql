-- Every loss by reason. Duplicates stand here too: no loss, but part of the ledger.
SELECT reason, count, bytes
FROM hush_losses
WHERE count > 0 OR bytes > 0
ORDER BY reason;
