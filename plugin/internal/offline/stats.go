package offline

// The command stats shows what is in a store.

import (
	"context"
	"fmt"
)

func stats(ctx context.Context, c *call) (code int, err error) {
	var figures Stats
	err = c.readOnly(ctx, func(s Store) (err error) {
		figures, err = s.Stats(ctx)
		return err
	})
	if err != nil {
		return Failed, err
	}
	if c.json {
		c.answer(figures)
		return Done, nil
	}
	for _, line := range figures.Lines() {
		fmt.Fprintf(c.Stdout, "%-13s %s\n", line[0], line[1])
	}
	return Done, nil
}
