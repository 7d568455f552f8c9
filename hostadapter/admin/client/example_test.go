package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/fosite-sessions/sessions/hostadapter/admin/client"
)

// Lists the users signed in at a client, and ends the sessions of one.
func Example() {
	ctx := context.Background()
	c, err := client.New(client.Config{
		URL: "https://op.example/admin", Token: client.Secret(os.Getenv("ADMIN_TOKEN")),
	})
	if err != nil {
		log.Fatal(err)
	}
	for session, err := range c.Sessions(ctx, client.SessionQuery{ClientID: "demo-photos"}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(session.DisplayName, session.Created)
	}
	removed, _, err := c.RemoveSessions(ctx, client.Removal{SubjectID: "1001", Reason: "left the company"})
	if errors.Is(err, client.ErrForbidden) {
		log.Fatal("this token may only read")
	}
	if err == nil {
		fmt.Println(removed.SessionsRemoved, "sessions ended")
	}
}
