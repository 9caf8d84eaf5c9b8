package pebble

import (
	"fmt"
	"log/slog"

	pebbledb "github.com/cockroachdb/pebble/v2"
)

// logger routes Pebble's own log.
type logger struct{ log *slog.Logger }

func (l logger) Infof(format string, args ...any)  { l.log.Debug(fmt.Sprintf(format, args...)) }
func (l logger) Errorf(format string, args ...any) { l.log.Error(fmt.Sprintf(format, args...)) }

// Fatalf must not return: Pebble cannot go on. In the committer the panic is caught and fails the store; in Pebble's
// background work it ends the program, which is what a store that lost its disk must do.
func (l logger) Fatalf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	l.log.Error(text)
	panic(fatal{text})
}

type fatal struct{ text string }

func (f fatal) Error() string { return f.text }

// eventListener logs only what an operator can act on.
func eventListener(log *slog.Logger) *pebbledb.EventListener {
	return &pebbledb.EventListener{
		BackgroundError: func(err error) { log.Error("the store's background work failed and is tried again", "error", err) },
		DataCorruption: func(i pebbledb.DataCorruptionInfo) {
			log.Error("the store's data is damaged; restore a backup", "path", i.Path, "error", i.Details)
		},
		DiskSlow: func(i pebbledb.DiskSlowInfo) {
			log.Warn("the disk is slow", "path", i.Path, "duration", i.Duration)
		},
		WriteStallBegin: func(i pebbledb.WriteStallBeginInfo) {
			log.Warn("writes wait for the disk", "reason", i.Reason)
		},
	}
}
