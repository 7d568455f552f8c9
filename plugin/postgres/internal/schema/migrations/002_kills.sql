-- needs: 2
-- Kills of access tokens, and the leases of hosts (rule 15). A program that does not know them ends tokens
-- without telling the hosts that keep copies: so it may not use the store any more.

-- lease is for how long a host may answer after it has sent a beat, in nanoseconds. It is the same for all
-- hosts, which read it when they register.
ALTER TABLE {s}.ledger ADD COLUMN lease bigint NOT NULL DEFAULT 1000000000;

-- kills numbers what transactions under the slot have killed. Kills of a slot become visible in this order,
-- for each transaction holds the slot's row until its commit.
ALTER TABLE {s}.slots ADD COLUMN kills bigint NOT NULL DEFAULT 0;

-- number is that of the host's last beat. applied has, by slot, the last kill that the host's copies have
-- taken note of. lapsed: the host was silent for longer than its lease. It registers again before it answers.
ALTER TABLE {s}.hosts ADD COLUMN number bigint NOT NULL DEFAULT 0,
	ADD COLUMN applied bigint[] NOT NULL DEFAULT '{}',
	ADD COLUMN lapsed boolean NOT NULL DEFAULT false;

-- What transactions have killed, by the minute of their commit. sids is NULL where they kill all tokens.
-- awaited: somebody waits until all hosts have taken note. A host that missed a kill drops all copies.
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
