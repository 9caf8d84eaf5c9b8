package session

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/holdfast/holdfast"
)

// TagOf computes the tag of an entry from what identifies the record. A run's fragments and end are not among it, nor
// is anything that compaction changes: the tag of an offset never changes.
func TagOf(epoch holdfast.Epoch, e *holdfast.Entry) holdfast.Tag {
	b := make([]byte, 0, 256)
	field := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	field(string(epoch))
	b = binary.AppendUvarint(b, uint64(e.Offset))
	b = binary.AppendVarint(b, e.At.UnixMilli())
	field(string(e.Kind))
	field(e.ID)
	field(string(e.From.User))
	field(string(e.From.Client))
	field(e.Key)
	table := crc32.MakeTable(crc32.Castagnoli)
	return holdfast.Tag(crc32.Update(crc32.Checksum(b, table), table, e.Data))
}

// Size is what an entry counts in Info.Bytes: its strings and data, and a run's fragments, as RunInfo.Bytes counts them, and end.
func Size(e *holdfast.Entry) int64 {
	n := int64(len(e.ID) + len(e.From.User) + len(e.From.Client) + len(e.Key) + len(e.Data))
	if e.Run == nil {
		return n
	}
	n += int64(len(e.Run.End))
	for i := range e.Run.Body {
		n += int64(len(e.Run.Body[i].Text) + len(e.Run.Body[i].Event))
	}
	return n
}
