// Command load compares what fosite servers cost, each a process of its own under load from outside: one with
// sessions in our plugin, durable writes on, one over fosite's own MemoryStore, which keeps nothing, and a
// handler that does nothing, which is the cost of HTTP itself. `make load` runs it.
//
// Client secrets are compared as they are and ID tokens signed with ES256: bcrypt and RS256 would hide what
// is measured. Each round asks the stores in turn; what is printed are medians of the rounds of one run, the
// CPU time of host and plugin apart, and the share of memory's rate.
//
//	load                                     all flows, three rounds
//	load -flow introspect -callers 64        one of them
//	load -profile DIR -flow introspect       profiles of host and plugin besides, for go tool pprof
//	load -direct -flow login                 flows in the server's process, without a network
//	load -telemetry -flow introspect -lines  what traces and metrics cost, for benchstat -col /telemetry
//	load -serve plugin                       serve for another load generator, such as wrk
package main
