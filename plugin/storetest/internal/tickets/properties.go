package tickets

// Properties of a store.

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// property reads a property, which must succeed.
func property(w *world.World, name string) []byte {
	w.Helper()
	value, err := w.Properties.Property(w.Ctx(), name)
	w.OK(err, "Property "+name)
	return value
}

func setProperty(w *world.World, name, old, value string) error {
	return w.Properties.SetProperty(w.Ctx(), name, []byte(old), []byte(value))
}

var propertyCases = []world.Case{
	{Name: "a property has the value that was set last", Run: func(w *world.World) {
		if value := property(w, "issuer"); value != nil {
			w.Fatalf("an unset property is %q, want nil", value)
		}
		w.OK(setProperty(w, "issuer", "", "https://a.example"), "set")
		w.OK(setProperty(w, "another_one", "", "x"), "set another")
		w.OK(setProperty(w, "issuer", "https://a.example", "https://b.example"), "replace")
		w.Same(property(w, "issuer"), []byte("https://b.example"), "the property")
		w.OK(setProperty(w, "issuer", "https://b.example", ""), "remove")
		if value := property(w, "issuer"); value != nil {
			w.Fatalf("a property that was removed is %q, want nil", value)
		}
		w.OK(setProperty(w, "issuer", "", "https://c.example"), "set again")
		w.Same(property(w, "another_one"), []byte("x"), "the other property")
	}},
	{Name: "a property changed concurrently is kept", Run: func(w *world.World) {
		w.Fails(setProperty(w, "issuer", "a", "b"), "replace a missing property", ticketstore.ErrConflict)
		w.OK(setProperty(w, "issuer", "", "a"), "set")
		w.Fails(setProperty(w, "issuer", "", "b"), "set an existing property", ticketstore.ErrConflict)
		w.Fails(setProperty(w, "issuer", "c", "b"), "replace another value", ticketstore.ErrConflict)
		w.Fails(setProperty(w, "issuer", "c", ""), "remove another value", ticketstore.ErrConflict)
		w.Same(property(w, "issuer"), []byte("a"), "the property")
		w.OK(setProperty(w, "issuer", "", "a"), "repeat")
		w.OK(setProperty(w, "nothing", "x", ""), "remove a missing property")
	}},
	{Name: "of concurrent changes of a property one wins", Run: func(w *world.World) {
		errs := world.Race(8, func(i int) error {
			return setProperty(w, "issuer", "", fmt.Sprintf("host %d", i))
		})
		winner := w.OneWins(errs, ticketstore.ErrConflict, "set")
		w.Same(string(property(w, "issuer")), fmt.Sprintf("host %d", winner), "the property")
	}},
	{Name: "names and values have limits", Run: func(w *world.World) {
		longest := strings.Repeat("n", ticketstore.MaxPropertyName)
		for _, name := range []string{"", longest + "n", "Issuer", "a-b", "a b", "a\x00b", "1", "\xff"} {
			w.Refuses(setProperty(w, name, "", "x"), "name", fmt.Sprintf("set %q", name))
			w.Refuses(world.Err(w.Properties.Property(w.Ctx(), name)), "name", fmt.Sprintf("read %q", name))
		}
		largest := bytes.Repeat([]byte{0xff}, ticketstore.MaxProperty)
		w.Refuses(w.Properties.SetProperty(w.Ctx(), "a", nil, append(largest, 0)), "value",
			"set a value that is too large")
		w.OK(w.Properties.SetProperty(w.Ctx(), longest, nil, largest), "set the largest")
		w.Same(property(w, longest), largest, "the largest property")
	}},
	{Name: "the number of properties is bounded", Run: func(w *world.World) {
		name := func(i int) string { return fmt.Sprintf("p_%c%c", 'a'+i/26, 'a'+i%26) }
		for i := range ticketstore.MaxProperties {
			w.OK(setProperty(w, name(i), "", "x"), "set")
		}
		w.Refuses(setProperty(w, "more", "", "x"), "name", "set one property too many")
		w.OK(setProperty(w, name(0), "x", "y"), "replace one")
		w.OK(setProperty(w, name(1), "x", ""), "remove one")
		w.OK(setProperty(w, "more", "", "x"), "set a property after one was removed")
	}},
}
