package memory

import (
	"bytes"
	"context"

	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

type properties struct{ s *Store }

var _ ticketstore.Properties = properties{}

func (p properties) Property(ctx context.Context, name string) (value []byte, err error) {
	if err := ticketstore.CheckPropertyName(name); err != nil {
		return nil, err
	}
	err = p.s.view(ctx, func(t *tx) error {
		value = load[records.Property](t, transfer.Properties, name).GetValue()
		return nil
	})
	return value, err
}

func (p properties) SetProperty(ctx context.Context, name string, old, value []byte) error {
	if err := ticketstore.CheckProperty(name, value); err != nil {
		return err
	}
	return p.s.change(ctx, func(t *tx) error {
		now := load[records.Property](t, transfer.Properties, name).GetValue()
		switch {
		case bytes.Equal(now, value):
			return nil
		case !bytes.Equal(now, old):
			return ticketstore.ErrConflict
		case len(value) == 0:
			t.delete(transfer.Properties, name)
			return nil
		case now == nil && len(t.tables[transfer.Properties]) == ticketstore.MaxProperties:
			return ticketstore.TooManyProperties()
		}
		t.save(transfer.Properties, name, &records.Property{Value: value})
		return nil
	})
}
