package rules_test

import (
	"slices"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/rules"
)

func TestStepsInOrder(t *testing.T) {
	t.Parallel()
	var taken []string
	step := func(name string) func() error {
		return func() error {
			taken = append(taken, name)
			return nil
		}
	}
	steps := rules.Steps{
		Store: step("store"), Revoke: step("revoke"), Remove: step("remove"), Slide: step("slide"),
		Use: step("use"), Consume: step("consume"), Seen: step("seen"),
	}
	for _, step := range steps.InOrder() {
		if err := step(); err != nil {
			t.Error(err)
		}
	}
	want := []string{"seen", "consume", "use", "slide", "remove", "revoke", "store"}
	if !slices.Equal(taken, want) {
		t.Errorf("%q, want %q", taken, want)
	}
}
