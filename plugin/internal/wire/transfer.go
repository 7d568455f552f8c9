package wire

// Messages of TransferService.

import (
	"time"

	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// FromRecords returns the messages of the records of a move.
func FromRecords(records []transfer.Record) []*pb.TransferRecord {
	return convertPointers(records, func(r *transfer.Record) *pb.TransferRecord {
		return &pb.TransferRecord{Kind: uint32(r.Kind), Key: r.Key, Data: r.Data, Deleted: r.Deleted}
	})
}

// ToRecords is the reverse of FromRecords.
func ToRecords(messages []*pb.TransferRecord) ([]transfer.Record, error) {
	records := make([]transfer.Record, 0, len(messages))
	for _, m := range messages {
		if m.GetKind() > uint32(^transfer.Kind(0)) {
			return nil, ticketstore.Invalidf("kind", "is larger than there are kinds")
		}
		r := transfer.Record{
			Kind: transfer.Kind(m.GetKind()), Key: m.GetKey(), Data: m.GetData(), Deleted: m.GetDeleted(),
		}
		switch {
		case len(r.Key) == 0:
			return nil, ticketstore.Invalidf("key", "is empty")
		case r.Deleted:
			r.Data = nil
		case r.Data == nil:
			r.Data = []byte{}
		}
		records = append(records, r)
	}
	return records, nil
}

// FromTransferStatus returns the message of a store's status.
func FromTransferStatus(s *transfer.Status) *pb.GetTransferStatusResponse {
	m := &pb.GetTransferStatusResponse{
		State: string(s.State), Id: s.ID, Peer: s.Peer, Origin: s.Origin, Journaled: s.Journaled,
		Left:          s.Left,
		RecordVersion: s.RecordVersion, Others: FromHosts(s.Others),
		PeerStore: s.PeerStore, Silent: int64(s.Silent),
	}
	for _, kind := range transfer.Kinds {
		if c, found := s.Content[kind]; found {
			m.Contents = append(m.Contents,
				&records.Content{Kind: uint32(kind), Count: c.Count, Sum: c.Sum})
		}
	}
	return m
}

// ToTransferStatus is the reverse of FromTransferStatus.
func ToTransferStatus(m *pb.GetTransferStatusResponse) (*transfer.Status, error) {
	s := &transfer.Status{
		State: transfer.State(m.GetState()), ID: m.GetId(), Peer: m.GetPeer(), Origin: m.GetOrigin(),
		Journaled: m.GetJournaled(), Left: m.GetLeft(), RecordVersion: m.GetRecordVersion(),
		Content:   map[transfer.Kind]transfer.Content{},
		PeerStore: m.GetPeerStore(), Silent: time.Duration(m.GetSilent()),
	}
	if s.State == "" {
		return nil, ticketstore.Invalidf("state", "is empty")
	}
	if s.RecordVersion == 0 {
		return nil, ticketstore.Invalidf("record_version", "is missing")
	}
	if s.Left > s.Journaled {
		return nil, ticketstore.Invalidf("left", "is more than was ever journaled")
	}
	for _, c := range m.GetContents() {
		if c.GetKind() == 0 || c.GetKind() > uint32(^transfer.Kind(0)) || c.GetCount() < 0 {
			return nil, ticketstore.Invalidf("contents", "are none")
		}
		s.Content[transfer.Kind(c.GetKind())] = transfer.Content{Count: c.GetCount(), Sum: c.GetSum()}
	}
	var err error
	s.Others, err = ToHosts("others", m.GetOthers())
	return s, err
}
