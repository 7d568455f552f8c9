-- needs: 3
-- Moves that all hosts follow (rule 14). A program that does not know them answers reads from a store that
-- another one has replaced: so it may not use the store any more.

-- peer_store is the id of the other store's data. moved is when the host that moves the store has made its
-- last step.
ALTER TABLE {s}.ledger ADD COLUMN peer_store text COLLATE "C" NOT NULL DEFAULT '',
	ADD COLUMN moved bigint NOT NULL DEFAULT 0;
