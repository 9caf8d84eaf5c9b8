package pebble

import (
	"encoding/binary"
	"strings"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/session"
)

// The layout of keys. sid is a session's id as it is, which has no byte 0; numbers are 8 bytes, big-endian, so that
// keys sort as numbers do. Values are described in record.go and begin with a version byte.
//
//	m sid                          the session: epoch, first, head, counts. One per session, so that listing sessions reads no entries
//	d sid 0 'l' offset             an entry: message, state, event, opening of an open run, compact form of an ended one
//	d sid 0 'f' run first          fragments of an open run, as one operation appended them; first is the number of the first
//	d sid 0 'i' user 0 id          what an idempotency key was used for; with the user \1answers, the run that answers the message at
//	                               the offset that is the id; with the user \1requests, the settled request at that offset
//	d sid 0 's' key                where the latest state of a key stands
//	d sid 0 't' offset             the tag of a state that was replaced
//	d sid 0 'q'                    the messages that wait for their turns; only where there are some
//	o sid 0 run                    an open run: fence, fragments, chain. One per open run, so that it is also their index
//	w sid                          nothing: something waits for time to pass in the session, see driver.Info.Waits
//	q number                       a feed item
//	r sid 0 number                 nothing: there is a feed item of the session with this number
//	c name                         a consumer's value
//	x name                         of the store itself: "format", "feed" (its id), "trimmed" (number of the last feed item dropped),
//	                               "feedof" (every feed item has its r)
//
// Everything of a session but m, o, w and r is one range, so that deleting it is one range deletion.
const (
	spaceMeta     = 'm'
	spaceData     = 'd'
	spaceOpen     = 'o'
	spaceWait     = 'w'
	spaceFeed     = 'q'
	spaceFeedOf   = 'r'
	spaceConsumer = 'c'
	spaceStore    = 'x'

	partEntry     = 'l'
	partFragments = 'f'
	partID        = 'i'
	partState     = 's'
	partTag       = 't'
	partQueue     = 'q'
)

var (
	keyFormat  = []byte("xformat")
	keyFeed    = []byte("xfeed")
	keyTrimmed = []byte("xtrimmed")
	keyFeedOf  = []byte("xfeedof")
)

func metaKey(s holdfast.SessionID) []byte {
	return append([]byte{spaceMeta}, s...)
}

// inSession returns space sid 0, with room for more behind it.
func inSession(space byte, s holdfast.SessionID) []byte {
	b := make([]byte, 0, len(s)+2+1+16)
	b = append(b, space)
	b = append(b, s...)
	return append(b, 0)
}

// afterSession returns the first key after all of the session's in a space.
func afterSession(space byte, s holdfast.SessionID) []byte {
	b := inSession(space, s)
	b[len(b)-1] = 1
	return b
}

func entryKey(s holdfast.SessionID, o holdfast.Offset) []byte {
	return binary.BigEndian.AppendUint64(append(inSession(spaceData, s), partEntry), uint64(o))
}

func tagKey(s holdfast.SessionID, o holdfast.Offset) []byte {
	return binary.BigEndian.AppendUint64(append(inSession(spaceData, s), partTag), uint64(o))
}

func fragmentsKey(s holdfast.SessionID, run holdfast.Offset, first holdfast.FragmentNo) []byte {
	b := binary.BigEndian.AppendUint64(append(inSession(spaceData, s), partFragments), uint64(run))
	return binary.BigEndian.AppendUint64(b, uint64(first))
}

func idKey(s holdfast.SessionID, user holdfast.UserID, id string) []byte {
	b := append(append(inSession(spaceData, s), partID), user...)
	return append(append(b, 0), id...)
}

func stateKey(s holdfast.SessionID, key string) []byte {
	return append(append(inSession(spaceData, s), partState), key...)
}

func queueKey(s holdfast.SessionID) []byte { return append(inSession(spaceData, s), partQueue) }

func openKey(s holdfast.SessionID, run holdfast.Offset) []byte {
	return binary.BigEndian.AppendUint64(inSession(spaceOpen, s), uint64(run))
}

func waitKey(s holdfast.SessionID) []byte { return append([]byte{spaceWait}, s...) }

func feedKey(seq uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{spaceFeed}, seq)
}

func feedOfKey(s holdfast.SessionID, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(inSession(spaceFeedOf, s), seq)
}

func consumerKey(name string) []byte { return append([]byte{spaceConsumer}, name...) }

// entriesEnd is the first key after all entries of a session.
func entriesEnd(s holdfast.SessionID) []byte { return append(inSession(spaceData, s), partEntry+1) }

// statesRange bounds the index of the latest states.
func statesRange(s holdfast.SessionID) (from, to []byte) {
	return append(inSession(spaceData, s), partState), append(inSession(spaceData, s), partState+1)
}

// runEnd is the first key after all fragments of a run.
func runEnd(s holdfast.SessionID, run holdfast.Offset) []byte { return fragmentsKey(s, run+1, 0) }

// prefixEnd returns the first key after all that begin with prefix. Prefixes here are ASCII.
func prefixEnd(prefix []byte) []byte {
	b := append([]byte(nil), prefix...)
	b[len(b)-1]++
	return b
}

// lastNumber reads the number that ends a key.
func lastNumber(key []byte) uint64 {
	if len(key) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(key[len(key)-8:])
}

// splitOpenKey is the inverse of openKey.
func splitOpenKey(key []byte) (holdfast.SessionID, holdfast.Offset, bool) {
	if len(key) < 11 || key[0] != spaceOpen || key[len(key)-9] != 0 {
		return "", 0, false
	}
	return holdfast.SessionID(key[1 : len(key)-9]), holdfast.Offset(lastNumber(key)), true
}

// dataKey is a key of the data space taken apart.
type dataKey struct {
	session holdfast.SessionID
	part    byte
	rest    []byte
}

func splitDataKey(key []byte) (dataKey, bool) {
	if len(key) == 0 || key[0] != spaceData {
		return dataKey{}, false
	}
	s, rest, ok := strings.Cut(string(key[1:]), "\x00")
	if !ok || rest == "" {
		return dataKey{}, false
	}
	return dataKey{session: holdfast.SessionID(s), part: rest[0], rest: []byte(rest[1:])}, true
}

// gone returns the keys that bound a range of entries.
func gone(s holdfast.SessionID, r session.Range) (from, to []byte) {
	return entryKey(s, r.From), entryKey(s, r.To)
}
