package badger

import (
	"bytes"
	"cmp"
	"context"

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
	err = s.e.view(ctx, func(r reader) (err error) {
		value, err = loadProperty(r, name)
		return err
	})
	return value, err
}

// loadProperty returns nil where there is none. None is kept with an empty value.
func loadProperty(r reader, name string) ([]byte, error) {
	property := &records.Property{}
	_, err := load(r, propertyKey(name), property)
	return property.GetValue(), err
}

// SetProperty may use the room on the disk that is kept free: there are few of them, they are small, and
// without them a host cannot start.
func (s properties) SetProperty(ctx context.Context, name string, old, value []byte) error {
	if err := ticketstore.CheckProperty(name, value); err != nil {
		return err
	}
	return s.e.end(ctx, func(tx *tx) error {
		now, err := loadProperty(tx, name)
		switch {
		case err != nil:
			return err
		case bytes.Equal(now, value):
			return nil
		case !bytes.Equal(now, old):
			return ticketstore.ErrConflict
		case len(value) == 0:
			tx.delete(propertyKey(name))
			return nil
		}
		if now == nil {
			if n, err := countKeys(tx, tableProperty, ticketstore.MaxProperties-1); err != nil || n < 0 {
				return cmp.Or(err, ticketstore.TooManyProperties())
			}
		}
		return tx.save(propertyKey(name), &records.Property{Value: value})
	})
}

func (t *tx) takeProperty(r *transfer.Record) error {
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
	t.row(r)
	return nil
}

func (c *checker) properties() error {
	n := 0
	return c.scan(tableProperty, true, func(k, v []byte) error {
		property := &records.Property{}
		if !c.record(k, v, property) {
			return nil
		}
		n++
		err := ticketstore.CheckProperty(string(k[len(tableProperty):]), property.GetValue())
		c.rule(k, err != nil, "is none that a host could have written: %v", err)
		c.rule(k, len(property.GetValue()) == 0, "has no value")
		c.rule(k, n == ticketstore.MaxProperties+1, "is one more than the %d that there may be", ticketstore.MaxProperties)
		return nil
	})
}
