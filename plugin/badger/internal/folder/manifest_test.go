package folder

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"testing"

	"github.com/dgraph-io/badger/v4/pb"
	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/files"
)

// Change sets with a missing table are removed from the manifest only if the rest is complete.
func TestUnfinishedManifest(t *testing.T) {
	t.Parallel()
	create := func(id uint64) *pb.ManifestChange {
		return &pb.ManifestChange{Id: id, Op: pb.ManifestChange_CREATE}
	}
	remove := func(id uint64) *pb.ManifestChange {
		return &pb.ManifestChange{Id: id, Op: pb.ManifestChange_DELETE}
	}
	type set = []*pb.ManifestChange
	for name, c := range map[string]struct {
		sets  []set
		files []uint64
		kept  []int
	}{
		"whole":   {[]set{{}, {create(1)}, {create(2)}}, []uint64{1, 2}, []int{0, 1, 2}},
		"a flush": {[]set{{}, {create(1)}, {create(2)}}, []uint64{1}, []int{0, 1}},
		"a flush, then a compaction": {[]set{{}, {create(1)}, {create(2)}, {create(3), remove(1)}},
			[]uint64{3}, []int{0, 1, 3}},
		"a compaction": {[]set{{}, {create(1)}, {create(2), remove(1)}}, []uint64{1},
			[]int{0, 1}},
		"a compaction repeated by a later one": {[]set{{}, {create(1)}, {create(2), remove(1)},
			{create(3), remove(1)}}, []uint64{3}, []int{0, 1, 3}},
		"a compaction whose old tables are missing": {[]set{{}, {create(1)}, {create(2), remove(1)}}, nil,
			[]int{0, 1, 2}},
		"a compaction that lacks a table": {[]set{{}, {create(1)}, {create(2)},
			{create(3), remove(1), remove(2)}}, []uint64{1, 2, 3}, []int{0, 1, 2}},
		"a compaction that was finished": {[]set{{}, {create(1)}, {create(2)},
			{create(3), remove(1), remove(2)}}, []uint64{3}, []int{0, 1, 2, 3}},
		"a reused number": {[]set{{}, {create(1)}, {remove(1)}, {create(1)}},
			[]uint64{1}, []int{0, 1, 2, 3}},
		"a later change set": {[]set{{}, {create(1)}, {create(2), remove(1)},
			{create(3), remove(2)}}, []uint64{1, 3}, []int{0, 1, 2, 3}},
		"a rewritten manifest": {[]set{{create(1), create(2)}, {create(3)}},
			[]uint64{1, 3}, []int{0, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header := []byte("Bdgr\x00\x00\x00\x08")
			text, want := bytes.Clone(header), bytes.Clone(header)
			for i, changes := range c.sets {
				raw := rawSet(t, changes...)
				text = append(text, raw...)
				if slices.Contains(c.kept, i) {
					want = append(want, raw...)
				}
			}
			m, err := files.ParseManifest(text)
			if err != nil {
				t.Fatal(err)
			}
			got := finished(m, func(id uint64) bool { return slices.Contains(c.files, id) }).Bytes()
			if !bytes.Equal(got, want) {
				t.Errorf("%d bytes became %d, want %d", len(text), len(got), len(want))
			}
		})
	}
}

// rawSet is a change set as encoded in the manifest.
func rawSet(t *testing.T, changes ...*pb.ManifestChange) []byte {
	t.Helper()
	body, err := proto.Marshal(&pb.ManifestChangeSet{Changes: changes})
	if err != nil {
		t.Fatal(err)
	}
	raw := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	raw = binary.BigEndian.AppendUint32(raw, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	return append(raw, body...)
}
