package offline

// The command migrate upgrades a store to the newest format.

import (
	"context"
	"fmt"
)

func migrate(ctx context.Context, c *call) (code int, err error) {
	from, to, err := c.place.Migrate(ctx)
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
		fmt.Fprintf(c.Stdout, "%s has format %d, the newest\n", c.place, to)
	} else {
		fmt.Fprintf(c.Stdout, "%s had format %d and has format %d now\n", c.place, from, to)
	}
	return Done, nil
}
