// Package trace is the W3C trace context (Trace Context, Level 1) that a request came with: the ids by which an operator finds
// what belongs together in the logs of several programs. Holdfast begins no traces and samples nothing; it carries what it
// was given to its log.
package trace

import (
	"context"
	"encoding/hex"
	"log/slog"
)

// Context is where in a trace a request stands. The zero value is none.
type Context struct {
	ID   [16]byte
	Span [8]byte
	// Sampled: the one who asks records this trace.
	Sampled bool
}

// Parse reads a traceparent header. One that is not valid counts as none, as the specification demands (§3.2.2.3): it is a
// stranger's to choose, and must not cost more than being passed over.
func Parse(header string) (Context, bool) {
	var c Context
	// version "-" trace-id "-" parent-id "-" flags; later versions may have more behind that.
	if len(header) < 55 || header[2] != '-' || header[35] != '-' || header[52] != '-' {
		return Context{}, false
	}
	version, flags := header[:2], header[53:55]
	switch {
	case !isHex(version) || version == "ff" || !isHex(flags):
		return Context{}, false
	case version == "00" && len(header) != 55 || len(header) > 55 && header[55] != '-':
		return Context{}, false
	case !isHex(header[3:35]) || !isHex(header[36:52]):
		return Context{}, false
	}
	_, _ = hex.Decode(c.ID[:], []byte(header[3:35]))    // it is hexadecimal
	_, _ = hex.Decode(c.Span[:], []byte(header[36:52])) // so is this
	bits, _ := hex.DecodeString(flags)
	c.Sampled = bits[0]&1 != 0
	if c.ID == [16]byte{} || c.Span == [8]byte{} {
		return Context{}, false
	}
	return c, true
}

// isHex reports whether s is lower case hexadecimal, the only form that the specification knows.
func isHex(s string) bool {
	for i := range len(s) {
		if !('0' <= s[i] && s[i] <= '9' || 'a' <= s[i] && s[i] <= 'f') {
			return false
		}
	}
	return true
}

// Valid reports whether there is one.
func (c Context) Valid() bool { return c.ID != [16]byte{} }

// String returns it as a traceparent header of version 00, "" for none. Flags that this version does not know are left out (§3.2.2.5).
func (c Context) String() string {
	if !c.Valid() {
		return ""
	}
	flags := "-00"
	if c.Sampled {
		flags = "-01"
	}
	return "00-" + hex.EncodeToString(c.ID[:]) + "-" + hex.EncodeToString(c.Span[:]) + flags
}

// Attrs are its ids as the log has them, under the names that collectors of logs know; nothing for none.
func (c Context) Attrs() []slog.Attr {
	if !c.Valid() {
		return nil
	}
	return []slog.Attr{
		slog.String("trace_id", hex.EncodeToString(c.ID[:])), slog.String("span_id", hex.EncodeToString(c.Span[:])),
	}
}

type key struct{}

// With returns a context that carries c. Records that are logged with it through [Handler] have the ids of c.
func With(ctx context.Context, c Context) context.Context { return context.WithValue(ctx, key{}, c) }

// From returns what With put in, or the zero value.
func From(ctx context.Context) Context {
	c, _ := ctx.Value(key{}).(Context)
	return c
}

// Handler returns a handler that adds the ids of a record's context to the record.
func Handler(h slog.Handler) slog.Handler { return handler{h} }

type handler struct{ slog.Handler }

// Handle implements slog.Handler.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	if attrs := From(ctx).Attrs(); attrs != nil {
		r = r.Clone()
		r.AddAttrs(attrs...)
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h handler) WithGroup(name string) slog.Handler { return handler{h.Handler.WithGroup(name)} }
