package badger

// Properties (v): small values of the host.

import (
	"context"
	"math"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/ticketstore"
)

type properties struct{ e *Engine }

var _ ticketstore.Properties = properties{}

// Properties returns the properties that the host keeps in the store.
func (e *Engine) Properties() ticketstore.Properties { return properties{e} }

func (s properties) Property(ctx context.Context, name string) ([]byte, error) {
	return read(ctx, s.e, ticketstore.CheckPropertyName(name), func(r *kv.Snapshot) ([]byte, error) {
		return loadProperty(r, name)
	})
}

// loadProperty returns the value of a property, or nil. Stored values are never empty.
func loadProperty(r kv.Reader, name string) ([]byte, error) {
	property, err := kv.Find[records.Property](r, layout.PropertyKey(name))
	return property.GetValue(), err
}

// SetProperty may use the reserve of a nearly full disk: properties are few and small, and a host cannot
// start without them.
func (s properties) SetProperty(ctx context.Context, name string, old, value []byte) error {
	if err := ticketstore.CheckProperty(name, value); err != nil {
		return err
	}
	return s.e.end(ctx, func(tx *kv.Tx) error {
		now, err := loadProperty(tx, name)
		if err != nil {
			return err
		}
		others, err := countKeys(tx, layout.TableProperty, math.MaxInt)
		if err != nil {
			return err
		}
		change, err := rules.SetProperty(now, old, value, others)
		if err != nil || !change {
			return err
		}
		if len(value) == 0 {
			tx.Delete(layout.PropertyKey(name))
			return nil
		}
		return tx.Save(layout.PropertyKey(name), &records.Property{Value: value})
	})
}
