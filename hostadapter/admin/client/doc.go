// Package client calls the admin routes (package admin) from Go: it lists and ends sessions, lists grants and
// notifications, and swaps or backs up the store. Its types are those of the contract, openapi.json; package
// admin encodes its responses with them.
//
// Lists are iterators that fetch pages as needed:
//
//	c, err := client.New(client.Config{URL: "https://op.example/admin", Token: token})
//	for session, err := range c.Sessions(ctx, client.SessionQuery{SubjectID: "1001"}) {
//
// Error responses are a *Problem, which errors.Is matches with ErrNotFound and the other errors of this
// package. Reads and dry runs are retried after temporary failures of the server or the network; changes are
// retried only if it is certain that nothing was changed. Contexts bound each call.
package client
