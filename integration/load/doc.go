// Command load compares the cost of fosite servers, each in its own process under external load: with
// sessions in our plugins and durable writes; on fosite's own MemoryStore, which persists nothing; and with a
// handler that does nothing, which is the cost of HTTP itself. `make load` runs it.
//
// Client secrets are compared unhashed and ID tokens are signed with ES256: bcrypt and RS256 would dominate
// the results. Each round measures the stores in turn. The table has the medians of the rounds of one run,
// the CPU time of host, plugin and database separately, and the throughput relative to the first store in the
// same round. The command starts its own PostgreSQL and reports how often connections waited for a lock.
//
//	load                                     all flows, three rounds
//	load -flow introspect -callers 64        one of them
//	load -stores badger-uncached,postgres-uncached -flow introspect
//	                                         PostgreSQL's share of what Badger does
//	load -stores postgres -hosts 1,2 -core 0.25
//	                                         one host and two, each held to a quarter of a core (root)
//	load -profile DIR -flow introspect       profiles of host and plugin besides, for go tool pprof
//	load -direct -flow login                 flows in the server's process, without a network
//	load -telemetry -flow introspect -lines  what traces and metrics cost, for benchstat -col /telemetry
//	load -serve badger                       serve for another load generator, such as wrk
package main
