package contract

// The Go client's types have the fields of the contract.

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
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
		"GrantRemoval": client.GrantsRemoved{}, "Delivery": client.Delivery{},
		"DeliveryPage": client.Page[client.Delivery]{}, "Job": client.Job{}, "Swap": client.Swap{},
		"Backend": client.Backend{}, "Host": client.Host{}, "Cache": client.Cache{},
		"Problem": client.Problem{},
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
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "-" {
			names[name] = true
		}
	}
	return names
}

// The routes that README.md and the package's documentation list are those of the contract.
func TestDocumentationListsEveryRoute(t *testing.T) {
	t.Parallel()
	variable := regexp.MustCompile(`{[a-z_]+}`)
	listed := regexp.MustCompile(`\b(GET|POST|DELETE) +(/[a-z_/{}.]*)`)
	want := map[string]bool{"GET /ui/": true} // the page is no part of the contract
	for _, answer := range load(t).Answers() {
		if !strings.HasPrefix(answer.Path, "/account/") {
			want[answer.Method+" "+variable.ReplaceAllString(answer.Path, "{}")] = true
		}
	}
	for file, line := range map[string]string{"README.md": "| `", "doc.go": "//\t"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "hostadapter", "admin", file))
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for row := range strings.Lines(string(text)) {
			if !strings.HasPrefix(row, line) {
				continue
			}
			for _, route := range listed.FindAllStringSubmatch(row, -1) {
				got[route[1]+" "+variable.ReplaceAllString(route[2], "{}")] = true
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s lists\n%v, want\n%v", file, slices.Sorted(maps.Keys(got)),
				slices.Sorted(maps.Keys(want)))
		}
	}
}
