// Command load compares what fosite servers cost, each a process of its own under load from outside: with
// sessions in our plugins, durable writes on, over fosite's own MemoryStore, which keeps nothing, and a
// handler that does nothing, which is the cost of HTTP itself. `make load` runs it.
//
// Client secrets are compared as they are and ID tokens signed with ES256: bcrypt and RS256 would hide what
// is measured. Each round asks the stores in turn; what is printed are medians of the rounds of one run, the
// CPU time of host, plugin and database apart, and the share of what the first store did in the same round.
// PostgreSQL is a server of the load's own; how often its connections were seen waiting for a lock is told.
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
