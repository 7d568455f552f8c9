// Package client calls the admin routes (package admin) from Go: it lists and ends sessions, sees grants and
// notifications, and moves or backs up the store. Its types are those of the contract, openapi.json; the
// routes answer with them too.
//
// Lists are iterators that read page after page:
//
//	c, err := client.New(client.Config{URL: "https://op.example/admin", Token: token})
//	for session, err := range c.Sessions(ctx, client.SessionQuery{SubjectID: "1001"}) {
//
// What a server refuses is a *Problem, which errors.Is compares with ErrNotFound and the other errors of this
// package. Reads and dry runs are sent again where the server or the way to it fails for a while; changes
// only where it is certain that nothing was changed. Contexts bound everything.
package client
