package driver

import "context"

type traceKey struct{}

// WithTrace returns a context of operations that were asked for by a request with a traceparent header (W3C Trace Context): what an
// operation puts into the feed bears it. The header must be valid, and no longer than one of version 00; "" is none.
func WithTrace(ctx context.Context, traceparent string) context.Context {
	return context.WithValue(ctx, traceKey{}, traceparent)
}

// TraceOf returns what WithTrace put in, or "".
func TraceOf(ctx context.Context) string {
	t, _ := ctx.Value(traceKey{}).(string)
	return t
}
