package cli

// The command migrate upgrades a store to the newest format.

import (
	"context"
	"fmt"

	"github.com/fosite-sessions/sessions/plugin/badger"
)

func migrate(ctx context.Context, c *call) (code int, err error) {
	if err := badger.CheckOwner(c.settings.Path); err != nil {
		return Failed, err
	}
	from, to, err := badger.Migrate(ctx, c.settings, c.logger)
	if err != nil {
		return Failed, err
	}
	if c.json {
		c.answer(struct {
			From int `json:"from"`
			To   int `json:"to"`
		}{from, to})
		return Done, nil
	}
	if from == to {
		fmt.Fprintf(c.Stdout, "%s has format %d, the newest\n", c.settings.Path, to)
	} else {
		fmt.Fprintf(c.Stdout, "%s had format %d and has format %d now\n", c.settings.Path, from, to)
	}
	return Done, nil
}
