// Package wire converts between the domain's types and the messages of the plugin protocol, both ways, and
// maps errors to gRPC statuses and back. Records within messages are package records' to convert.
//
// What comes from the wire is checked for its form only: lengths of keys, messages that are required. A value
// that does not fit is a *ticketstore.FieldError; a host that reads one from an answer must not pass it on as
// the fault of its caller.
package wire
