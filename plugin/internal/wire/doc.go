// Package wire converts between the domain's types and the messages of the plugin protocol, and maps errors
// to gRPC statuses and back. Records within messages are converted by package records.
//
// It checks only the form of received messages: lengths of keys, required messages. A malformed value is a
// *ticketstore.FieldError; a host that gets one from an answer must not return it as its caller's fault.
package wire
