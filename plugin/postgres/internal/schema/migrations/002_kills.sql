-- needs: 2
-- Kills of access tokens, and the leases of hosts (rule 15). An older program ends tokens without notifying
-- the hosts that cache them, so it may no longer use the store.

-- lease is the time in nanoseconds for which a host may answer after it has sent a beat. All hosts use the
-- same value, which they read when they register.
ALTER TABLE {s}.ledger ADD COLUMN lease bigint NOT NULL DEFAULT 1000000000;

-- kills is the number of the slot's last kill. Kills of a slot become visible in order, because each
-- transaction locks the slot's row until its commit.
ALTER TABLE {s}.slots ADD COLUMN kills bigint NOT NULL DEFAULT 0;

-- number is the number of the host's last beat. applied has, by slot, the last kill applied to the host's
-- cache. lapsed: the host was silent for longer than its lease. It must register again before it answers.
ALTER TABLE {s}.hosts ADD COLUMN number bigint NOT NULL DEFAULT 0,
	ADD COLUMN applied bigint[] NOT NULL DEFAULT '{}',
	ADD COLUMN lapsed boolean NOT NULL DEFAULT false;

-- The kills of transactions, partitioned by the minute of their commit. sids is NULL if all tokens are
-- killed. awaited: a call waits until all hosts have applied the kill. A host that missed a kill drops its
-- cache.
CREATE TABLE {s}.kills (
	n       bigint NOT NULL,
	slot    int NOT NULL,
	ring    smallint NOT NULL,
	awaited boolean NOT NULL,
	sids    text[] COLLATE "C",
	grants  bytea[],
	PRIMARY KEY (slot, n, ring)
) PARTITION BY LIST (ring);
CREATE TABLE {s}.kills_0 PARTITION OF {s}.kills FOR VALUES IN (0);
CREATE TABLE {s}.kills_1 PARTITION OF {s}.kills FOR VALUES IN (1);
CREATE TABLE {s}.kills_2 PARTITION OF {s}.kills FOR VALUES IN (2);
CREATE TABLE {s}.kills_3 PARTITION OF {s}.kills FOR VALUES IN (3);
