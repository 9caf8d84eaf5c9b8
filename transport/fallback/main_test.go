package fallback

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/transport"
	"github.com/holdfast/holdfast/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// site is a handler on a real socket.
type site struct {
	*Handler
	web *httptest.Server
}

func newSite(t testing.TB, h2 bool, serve transport.Serve, o Options) *site {
	s := &site{Handler: NewHandler(serve, o)}
	s.web = httptest.NewUnstartedServer(s.Handler)
	s.web.EnableHTTP2 = h2
	if h2 {
		s.web.StartTLS()
	} else {
		s.web.Start()
	}
	t.Cleanup(func() {
		s.web.CloseClientConnections()
		s.web.Close()
		s.Wait()
	})
	return s
}

// listener is the client's side of a connection that it can only listen to.
type listener struct {
	cancel context.CancelFunc
	prefix string
	// answered yields the head of the answer, once.
	answered chan error
	once     sync.Once
	res      *http.Response
	lines    *bufio.Reader
}

var _ transporttest.Peer = (*listener)(nil)

func (s *site) listen(t testing.TB, path, said string) *listener {
	ctx, cancel := context.WithCancel(context.Background())
	l := &listener{cancel: cancel, answered: make(chan error, 1)}
	if strings.HasSuffix(path, "events") {
		l.prefix = "data: "
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.web.URL+path, strings.NewReader(said))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "text/plain")
	done := make(chan struct{})
	go func() { // ends with the head of the answer, or with ctx; waited for in the cleanup
		defer close(done)
		var err error
		l.res, err = s.web.Client().Do(req)
		l.answered <- err
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		if l.res != nil {
			_ = l.res.Body.Close()
		}
	})
	return l
}

// Next implements transporttest.Peer.
func (l *listener) Next() (msg []byte, err error) {
	timer := time.AfterFunc(patience, l.cancel)
	defer timer.Stop()
	l.once.Do(func() {
		if err = <-l.answered; err == nil {
			l.lines = bufio.NewReader(l.res.Body)
		}
	})
	if err != nil {
		return nil, err
	}
	if l.lines == nil {
		return nil, errors.New("there was no answer")
	}
	if l.res.StatusCode != http.StatusOK {
		return nil, &transporttest.Closed{Reason: l.res.Status}
	}
	for {
		line, err := l.lines.ReadString('\n')
		switch {
		case errors.Is(err, io.EOF) && line == "":
			return nil, &transporttest.Closed{}
		case err != nil:
			return nil, err
		case line == "\n":
			continue
		case !strings.HasPrefix(line, l.prefix):
			return nil, errors.New("the line " + line + " is no event")
		}
		return []byte(strings.TrimSuffix(line[len(l.prefix):], "\n")), nil
	}
}

func (l *listener) Send([]byte) error              { return errors.New("it can only listen") }
func (l *listener) Close(holdfast.CloseCode) error { return errors.New("it can only listen") }
func (l *listener) Abort()                         { l.cancel() }

func TestConformance(t *testing.T) {
	for _, k := range []*kind{events, poll} {
		for proto, h2 := range map[string]bool{"HTTP1": false, "HTTP2": true} {
			t.Run(k.name+"/"+proto, func(t *testing.T) {
				transporttest.Run(t, transporttest.Transport{
					Name: k.name, MaxMessage: 1000, Plain: true, OneWay: "hello", Codeless: true,
					Dial: func(t testing.TB, serve transport.Serve) transporttest.Peer {
						return newSite(t, h2, serve, Options{MaxMessage: 1000}).listen(t, "/v1/ws/7/"+k.name, "hello")
					},
				})
			})
		}
	}
}
