package grantcache

// Heap used by copies and kills.

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/kills"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func tokenOf(i int) grantstore.Ref {
	return grantstore.Ref{Type: grantstore.ReferenceToken, Key: ticketstore.KeyOf(fmt.Sprint(i))}
}

// Not parallel: it measures the heap.
func TestCopiesUseCountedMemory(t *testing.T) {
	const count = 20_000
	for _, size := range []int{100, 1000, 10_000} {
		meter := &Meter{}
		before := testenv.Heap()
		c := newCopies(0, 1<<30, meter, func() {})
		for i := range count * 100 / (size + 100) {
			found := &grantstore.GetResult{
				Grant: grantstore.Grant{
					Ref: tokenOf(i), RequestID: strings.Repeat("r", 36), SubjectID: fmt.Sprint("user", i),
					SessionID: fmt.Sprint("session", i), ClientID: strings.Clone("app"),
					Expires: time.Unix(1, 0), Data: bytes.Repeat([]byte("d"), size),
				},
				Session: &grantstore.SessionTimes{},
			}
			c.fill(found, 0).Memo.Keep(&struct {
				by   *Meter
				data []byte
			}{meter, make([]byte, grantstore.MemoSize(size))})
		}
		taken, counted := testenv.Heap()-before, meter.Figures().Bytes
		if taken > counted || 2*taken < counted {
			t.Errorf("%d bytes of data: %d copies take %d bytes, want half to all of the %d counted", size,
				meter.Figures().Entries, taken, counted)
		}
		runtime.KeepAlive(c)
	}
}

// Copies of stored tokens do not retain the longer strings whose substrings they have.
func TestStoredCopiesRetainOnlyTheirStrings(t *testing.T) {
	meter := &Meter{}
	before := testenv.Heap()
	c := newCopies(0, 1<<30, meter, func() {})
	for i := range 2_000 {
		request := strings.Repeat(fmt.Sprint(i), 10_000)
		call{held: c}.stored(&grantstore.Batch{Store: []grantstore.Grant{{
			Ref: tokenOf(i), RequestID: request[:36], SubjectID: request[:8], SessionID: request[:20],
			ClientID: request[:3], Data: []byte("data"),
		}}}, &grantstore.SessionTimes{})
	}
	taken, counted := testenv.Heap()-before, meter.Figures().Bytes
	if n := meter.Figures().Entries; n != 2_000 || taken > counted {
		t.Errorf("%d copies take %d bytes, want 2000 and no more than the %d counted", n, taken, counted)
	}
	runtime.KeepAlive(c)
}

// Stored tokens that are not read evict each other, not copies that are read.
func TestStoredCopiesDoNotEvictReadOnes(t *testing.T) {
	t.Parallel()
	const read, stored = 50, 5_000
	meter := &Meter{}
	size := sizeOf(&grantstore.Grant{SessionID: "s"})
	c := newCopies(0, 100*size, meter, func() {})
	store := func(i int) {
		call{held: c}.stored(&grantstore.Batch{Store: []grantstore.Grant{{Ref: tokenOf(i), SessionID: "s"}}},
			&grantstore.SessionTimes{})
	}
	for i := range read {
		store(i)
	}
	for i := range stored {
		if i%10 == 0 {
			for hit := range read {
				if c.get(tokenOf(hit)) == nil {
					t.Fatalf("a token in use was evicted after %d stored ones", i)
				}
			}
		}
		store(read + i)
	}
	if f := meter.Figures(); f.Evictions < stored-100 || f.Bytes > 100*size {
		t.Errorf("got %+v, want room for 100 tokens", f)
	}
}

func TestGrantsWithRelatedAreNotCopied(t *testing.T) {
	t.Parallel()
	meter := &Meter{}
	c := newCopies(0, 1<<20, meter, func() {})
	found := &grantstore.GetResult{Grant: grantstore.Grant{Ref: tokenOf(1)}}
	found.Related = make([]grantstore.Grant, 1)
	c.fill(found, 0)
	if n := meter.Figures().Entries; n != 0 {
		t.Errorf("got %d copies, want none", n)
	}
}

func TestKillsAreBounded(t *testing.T) {
	before := testenv.Heap()
	c := newCopies(0, 1<<20, &Meter{}, func() {})
	for p := range uint64(kills.Kept / 2) {
		if !c.apply(&grantstore.Kill{Position: p + 1, Grants: make([]grantstore.Ref, 1500)}) {
			t.Fatalf("kill %d is not the next one", p+1)
		}
	}
	if took := testenv.Heap() - before; took > 3*kills.KeptBytes/2 {
		t.Errorf("the kept kills take %d bytes, want at most about %d", took, kills.KeptBytes)
	}
	runtime.KeepAlive(c)
}

// Rule 15: a kill removes the copies that it names, and no others.
func TestKillsRemoveCopies(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		kill grantstore.Kill
		left []int
	}{
		"a token":    {grantstore.Kill{Grants: []grantstore.Ref{tokenOf(1)}}, []int{2, 3, 4}},
		"a session":  {grantstore.Kill{Sessions: []string{"s"}}, []int{3, 4}},
		"everything": {grantstore.Kill{All: true}, nil},
		"nothing":    {grantstore.Kill{}, []int{1, 2, 3, 4}},
	} {
		c := newCopies(0, 1<<20, &Meter{}, func() {})
		for i, sid := range []string{"s", "s", "t", ""} {
			c.fill(&grantstore.GetResult{Grant: grantstore.Grant{Ref: tokenOf(i + 1), SessionID: sid}}, 0)
		}
		test.kill.Position = 1
		if !c.apply(&test.kill) {
			t.Errorf("%s: the kill is not the next one", name)
		}
		var left []int
		for i := range 4 {
			if c.of(tokenOf(i+1)) != nil {
				left = append(left, i+1)
			}
		}
		if !slices.Equal(left, test.left) {
			t.Errorf("%s: copies %v are left, want %v", name, left, test.left)
		}
	}
}
