package conn

import (
	"errors"
	"log/slog"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/ending"
	"github.com/holdfast/holdfast/transport"
	"github.com/holdfast/holdfast/transport/pipe"
)

// severed is a socket that fails to write while something is still there to be read.
type severed struct {
	transport.Conn
	// err is what writing meets; failed is closed then, aborted by Abort.
	err             error
	failed, aborted chan struct{}
	// first comes before that, last after it.
	first, last string
}

func (s *severed) Info() transport.Info                 { return transport.Info{Transport: "severed"} }
func (s *severed) AppendMessage(dst, msg []byte) []byte { return append(dst, msg...) }
func (s *severed) Write([]byte, time.Duration) error    { return s.err }
func (s *severed) Close(holdfast.CloseCode, string)     {}
func (s *severed) Abort()                               { close(s.aborted) }
func (s *severed) TryWrite([]byte) (int, error)         { close(s.failed); return 0, s.err }
func (s *severed) Receive(fn func(msg []byte) error) error {
	_ = fn([]byte(s.first)) // never fails
	<-s.failed
	synctest.Wait()
	select {
	case <-s.aborted: // and with the socket goes what was not read
	default:
		_ = fn([]byte(s.last))
	}
	return errors.New("the connection is gone")
}

// A client that says goodbye and closes, while something is being written to it, has said goodbye; and a network that gives a client
// up has done so, whichever side hears of it.
func TestAFailingWriteDoesNotHideTheEnd(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		last  string
		want  ending.End
		class ending.Class
	}{
		"a goodbye, and a reset":       {syscall.ECONNRESET, `{"t":"bye"}`, ending.End{By: ending.ByClient, Code: holdfast.CloseNormal}, ending.Normal},
		"a goodbye, and a broken pipe": {syscall.EPIPE, `{"t":"bye","park":true}`, ending.End{By: ending.ByClient, Code: holdfast.CloseNormal}, ending.Normal},
		"a reset alone":                {syscall.ECONNRESET, `{"t":"ping","n":1}`, ending.End{By: ending.ByNetwork, Code: 1006}, ending.Network},
		"the network's patience":       {syscall.ETIMEDOUT, `{"t":"bye"}`, ending.End{By: ending.ByNetwork, Code: 1006, TimedOut: true}, ending.Timeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := newStage(t)
				defer st.close()
				var got []*ending.Record
				st.cfg.Ends = ending.NewBook(slog.New(slog.DiscardHandler), time.Now, func(r *ending.Record) { got = append(got, r) }, nil)
				s := &severed{
					err:  holdfast.Wrap(holdfast.CodeUnavailable, c.err, "the connection is gone"),
					last: c.last, first: `{"t":"hello","v":1,"token":"anna read=*","client":"c","gen":1}`,
					failed: make(chan struct{}), aborted: make(chan struct{}),
				}
				Serve(t.Context(), s, st.cfg)
				if len(got) != 1 {
					t.Fatalf("%d records, want 1", len(got))
				}
				if diff := cmp.Diff(c.want, got[0].End); diff != "" || got[0].Class() != c.class {
					t.Errorf("class %s, want %s %s", got[0].Class(), c.class, diff)
				}
			})
		})
	}
}

// breaking is a carriage in whose handling of a frame something panics.
type breaking struct{ otherCarriage }

func (breaking) Receive(func([]byte) error) error { panic("a fault") }

// A panic, which a carriage over HTTP catches, leaves nothing of the connection behind.
func TestAPanicEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t)
		defer st.close()
		records := 0
		st.cfg.Ends = ending.NewBook(slog.New(slog.DiscardHandler), time.Now, func(*ending.Record) { records++ }, nil)
		c, peer := pipe.New(pipe.Options{})
		defer peer.Abort()
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was kept from the carriage")
				}
			}()
			Serve(st.ctx, breaking{otherCarriage{c}}, st.cfg)
		}()
		if records != 1 {
			t.Errorf("%d records, want 1", records)
		}
	})
}
