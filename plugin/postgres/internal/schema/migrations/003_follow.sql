-- needs: 3
-- Moves that all hosts follow (rule 14). An older program answers reads from a replaced store, so it may no
-- longer use the store.

-- peer_store is the id of the other store's data. moved is the time of the last step of the host that moves
-- the store.
ALTER TABLE {s}.ledger ADD COLUMN peer_store text COLLATE "C" NOT NULL DEFAULT '',
	ADD COLUMN moved bigint NOT NULL DEFAULT 0;
