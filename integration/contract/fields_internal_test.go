package contract

// The Go client's types have the fields of the contract.

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/hostadapter/admin/client"
)

func TestClientHasEveryField(t *testing.T) {
	t.Parallel()
	document := load(t)
	for name, like := range map[string]any{
		"Session": client.Session{}, "ClientUse": client.Use{}, "SessionPage": client.SessionPage{},
		"Removal": client.Removed{}, "Grant": client.Grant{}, "GrantPage": client.Page[client.Grant]{},
		"GrantRemoval": client.GrantsRemoved{}, "Delivery": client.Delivery{}, "Job": client.Job{},
		"Swap": client.Swap{}, "Backend": client.Backend{},
	} {
		proxy, ok := document.model.Components.Schemas.Get(name)
		if !ok {
			t.Errorf("the contract has no schema %s", name)
			continue
		}
		want := map[string]bool{}
		for field := range proxy.Schema().Properties.FromOldest() {
			want[field] = true
		}
		got := jsonFields(reflect.TypeOf(like))
		if !maps.Equal(got, want) {
			t.Errorf("%T has the fields\n%v, want those of the schema %s\n%v", like,
				slices.Sorted(maps.Keys(got)), name, slices.Sorted(maps.Keys(want)))
		}
	}
}

// jsonFields returns the names of a struct's fields in JSON.
func jsonFields(of reflect.Type) map[string]bool {
	names := map[string]bool{}
	for i := range of.NumField() {
		field := of.Field(i)
		if field.Anonymous {
			maps.Copy(names, jsonFields(field.Type))
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names[name] = true
	}
	return names
}
