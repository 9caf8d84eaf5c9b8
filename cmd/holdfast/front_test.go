package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/holdfast/holdfast/internal/auth"
	"github.com/holdfast/holdfast/wire"
)

// A connection through a trusted proxy is its client's, by the PROXY protocol or by the header: so says the record of its end.
func TestClientsBehindProxies(t *testing.T) {
	for name, c := range map[string]struct {
		args   []string
		before string
		header http.Header
		want   string
	}{
		"the PROXY protocol": {[]string{"--trusted-proxies", "127.0.0.1", "--proxy-protocol"}, "PROXY TCP4 198.51.100.7 127.0.0.1 4711 80\r\n", nil, "198.51.100.7:4711"},
		"the header":         {[]string{"--trusted-proxies", "127.0.0.0/8"}, "", http.Header{"X-Forwarded-For": {"203.0.113.1, 198.51.100.8"}}, "198.51.100.8:0"},
		"nobody is trusted":  {nil, "", http.Header{"X-Forwarded-For": {"198.51.100.9"}}, "remote=127.0.0.1:"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProcess(t, append(c.args, "--log-level", "debug")...)
			p.launch()
			await(t, func() bool { return strings.Contains(p.out.String(), "msg=serving") })
			through := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, network, addr)
				if err == nil {
					_, err = io.WriteString(conn, c.before)
				}
				return conn, err
			}}}
			defer through.CloseIdleConnections()
			var ws *websocket.Conn
			await(t, func() bool {
				var err error
				ws, _, err = websocket.Dial(t.Context(), "ws://"+p.addr+"/v1/ws/1", &websocket.DialOptions{HTTPClient: through, HTTPHeader: c.header})
				return err == nil
			})
			defer ws.CloseNow()
			hello := &wire.Hello{Version: 1, Token: p.token(auth.Claims{User: "anna", Read: []string{"*"}}), Client: "c", Gen: 1}
			if err := ws.Write(t.Context(), websocket.MessageText, wire.AppendClient(nil, hello)); err != nil {
				t.Fatal(err)
			}
			if _, msg, err := ws.Read(t.Context()); err != nil || !strings.Contains(string(msg), `"welcome"`) {
				t.Fatalf("%s, %v", msg, err)
			}
			if err := ws.Close(1000, ""); err != nil {
				t.Fatal(err)
			}
			await(t, func() bool { return strings.Contains(p.out.String(), "connection ended") })
			if !strings.Contains(p.out.String(), c.want) {
				t.Errorf("%q is not in the log: %s", c.want, p.out.String())
			}
		})
	}
}

func TestProxySettings(t *testing.T) {
	for args, says := range map[string]string{
		"--trusted-proxies=10.0.0.0/40":       "10.0.0.0/40",
		"--trusted-proxies=proxy.example.com": "proxy.example.com",
		"--proxy-protocol":                    "trusted-proxies",
	} {
		s, err := readSettings([]string{args})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.node.front.proxies(); err == nil || !strings.Contains(explain(err), says) {
			t.Errorf("%s: %v, want an error that names %s", args, err, says)
		}
	}
}
