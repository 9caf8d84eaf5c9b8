package session

import (
	"encoding/base32"
	"strings"

	"github.com/holdfast/holdfast"
)

// NewEpoch returns an epoch made from random bytes, of which 50 bits count.
func NewEpoch(random [7]byte) holdfast.Epoch {
	s := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(random[:])
	return holdfast.Epoch(strings.ToLower(s[:holdfast.EpochLen]))
}
