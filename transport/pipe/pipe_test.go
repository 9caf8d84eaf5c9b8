package pipe

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/transport"
	"github.com/holdfast/holdfast/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// suitePeer is Peer as the suite wants it.
type suitePeer struct{ *Peer }

func (p suitePeer) Next() ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	msg, err := p.Peer.Next(ctx)
	var c *Closed
	if errors.As(err, &c) {
		err = &transporttest.Closed{Code: c.Code, Reason: c.Reason}
	}
	return msg, err
}

func (p suitePeer) Close(code holdfast.CloseCode) error {
	p.Peer.Close(code, "")
	return nil
}

func TestConformance(t *testing.T) {
	transporttest.Run(t, transporttest.Transport{
		Name:       "pipe",
		MaxMessage: 100_000,
		Dial: func(t testing.TB, serve transport.Serve) transporttest.Peer {
			p := Start(t.Context(), serve, Options{MaxMessage: 100_000})
			t.Cleanup(func() {
				p.Abort()
				<-p.Done()
			})
			return suitePeer{p}
		},
	})
}
