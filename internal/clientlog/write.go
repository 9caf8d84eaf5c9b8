package clientlog

import (
	"context"
	"log/slog"
)

// Write writes a report into a log: a summary, and its records at level debug.
func Write(ctx context.Context, log *slog.Logger, r *Report) {
	log = log.With("user", string(r.User), "client", string(r.Client))
	last := ""
	if n := len(r.Records); n > 0 {
		last = r.Records[n-1].Event
	}
	log.LogAttrs(ctx, slog.LevelInfo, "a client sent its log",
		slog.String("reason", string(r.Reason)), slog.String("agent", r.Agent), slog.Int("records", len(r.Records)),
		slog.Duration("behind", r.Received.Sub(r.Sent)), slog.String("last", last))
	if !log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	for i := range r.Records {
		log.LogAttrs(ctx, slog.LevelDebug, "client log", slog.Int("n", i), slog.Time("at", r.Records[i].At),
			slog.String("event", r.Records[i].Event), slog.String("record", string(r.Records[i].Data)))
	}
}
