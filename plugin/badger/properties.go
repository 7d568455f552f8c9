package badger

// Properties (v): small values of the host's.

import (
	"bytes"
	"cmp"
	"context"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

type properties struct{ e *Engine }

var _ ticketstore.Properties = properties{}

// Properties returns what the host keeps in the store about the store.
func (e *Engine) Properties() ticketstore.Properties { return properties{e} }

func (s properties) Property(ctx context.Context, name string) (value []byte, err error) {
	if err := ticketstore.CheckPropertyName(name); err != nil {
		return nil, err
	}
	err = s.e.view(ctx, func(r *kv.Snapshot) (err error) {
		value, err = loadProperty(r, name)
		return err
	})
	return value, err
}

// loadProperty returns nil where there is none. None is kept with an empty value.
func loadProperty(r kv.Reader, name string) ([]byte, error) {
	property := &records.Property{}
	_, err := kv.Load(r, layout.PropertyKey(name), property)
	return property.GetValue(), err
}

// SetProperty may use the room on the disk that is kept free: there are few of them, they are small, and
// without them a host cannot start.
func (s properties) SetProperty(ctx context.Context, name string, old, value []byte) error {
	if err := ticketstore.CheckProperty(name, value); err != nil {
		return err
	}
	return s.e.end(ctx, func(tx *kv.Tx) error {
		now, err := loadProperty(tx, name)
		switch {
		case err != nil:
			return err
		case bytes.Equal(now, value):
			return nil
		case !bytes.Equal(now, old):
			return ticketstore.ErrConflict
		case len(value) == 0:
			tx.Delete(layout.PropertyKey(name))
			return nil
		}
		if now == nil {
			if n, err := countKeys(tx, layout.TableProperty, ticketstore.MaxProperties-1); err != nil ||
				n < 0 {
				return cmp.Or(err, ticketstore.TooManyProperties())
			}
		}
		return tx.Save(layout.PropertyKey(name), &records.Property{Value: value})
	})
}

func importProperty(t *kv.Tx, r *transfer.Record) error {
	property := &records.Property{}
	if err := read(r, property); err != nil {
		return err
	}
	if err := ticketstore.CheckProperty(string(r.Key), property.GetValue()); err != nil {
		return err
	}
	if !r.Deleted && len(property.GetValue()) == 0 {
		return ticketstore.Invalidf("data", "is a property without a value")
	}
	putRecord(t, r)
	return nil
}
