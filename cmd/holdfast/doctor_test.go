package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/internal/auth"
	"github.com/holdfast/holdfast/internal/doctor"
)

// front serves a handler on loopback until the test ends.
func front(t *testing.T, h http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }() // ends by Close below; received there
	t.Cleanup(func() { _ = srv.Close(); <-done })
	return "http://" + l.Addr().String()
}

// passing is a proxy that is as it should be.
func passing(t *testing.T, p *process) *httputil.ReverseProxy {
	t.Helper()
	to, err := url.Parse(p.url(""))
	if err != nil {
		t.Fatal(err)
	}
	return &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host
	}}
}

// found is what the doctor says of each check.
func found(t *testing.T, o doctor.Options) map[string]doctor.Finding {
	t.Helper()
	all := map[string]doctor.Finding{}
	if err := doctor.Examine(t.Context(), o, func(f doctor.Finding) { all[f.Check] = f }); err != nil {
		t.Fatal(err)
	}
	return all
}

// What breaks a deployment is found, under its name, with what to change.
func TestDoctorFinds(t *testing.T) {
	p := startProcess(t)
	token := p.token(auth.Claims{User: "anna", Read: []string{"*"}})
	strip := func(header string) http.Handler {
		proxy := passing(t, p)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Del(header)
			proxy.ServeHTTP(w, r)
		})
	}
	cases := map[string]struct {
		front  http.Handler
		change func(o *doctor.Options)
		check  string
		level  doctor.Level
		do     string
	}{
		"nothing wrong":       {front: passing(t, p)},
		"upgrade not passed":  {front: strip("Upgrade"), check: "websocket", level: doctor.Fail, do: "pass Upgrade"},
		"subprotocol dropped": {front: strip("Sec-WebSocket-Protocol"), check: "hello in the dial", level: doctor.Warn, do: "Sec-WebSocket-Protocol"},
		"streams gathered":    {front: gathering(passing(t, p)), check: "event stream", level: doctor.Fail, do: "proxy_buffering off"},
		"large frames cut":    {front: cutting(t, p, 64<<10, time.Minute), check: "large messages", level: doctor.Fail, do: "--max-data"},
		"silence cut":         {front: cutting(t, p, 1<<30, 300*time.Millisecond), check: "silence", level: doctor.Fail, do: "idle timeout"},
		"rewritten path":      {front: http.StripPrefix("/v1", passing(t, p)), check: "ready", level: doctor.Fail, do: "without a rewrite"},
		"server away":         {front: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }), check: "reach", level: doctor.Fail, do: "start the server"},
		"foreign page": {
			front: passing(t, p), change: func(o *doctor.Options) { o.Origin = "https://elsewhere.example" },
			check: "ready", level: doctor.Fail, do: "--origins",
		},
		"wrong token": {
			front: passing(t, p), change: func(o *doctor.Options) { o.Token = "no.such.token" },
			check: "websocket", level: doctor.Fail, do: "give a token",
		},
		"no token": {front: passing(t, p), change: func(o *doctor.Options) { o.Token = "" }, check: "silence", level: doctor.Skip},
		"clock wrong": {
			front: dated(passing(t, p), time.Now().Add(-time.Hour)), check: "clock", level: doctor.Warn, do: "NTP",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := doctor.Options{URL: front(t, tc.front), Token: token, Idle: time.Second, Patience: 2 * time.Second}
			if tc.change != nil {
				tc.change(&o)
			}
			all := found(t, o)
			got := all[tc.check]
			if got.Level != tc.level || !strings.Contains(got.Do, tc.do) {
				t.Errorf("%q is %+v", tc.check, got)
			}
			if tc.check != "" {
				return
			}
			for _, f := range all {
				if f.Level != doctor.OK && f.Check != "certificate" {
					t.Errorf("%+v", f)
				}
			}
		})
	}
}

// gathering keeps every answer until it is whole, as proxies do that buffer.
func gathering(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/events") {
			h.ServeHTTP(w, r)
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		h.ServeHTTP(&gathered{head: http.Header{}}, r.WithContext(ctx))
	})
}

type gathered struct {
	head http.Header
	bytes.Buffer
}

func (g *gathered) Header() http.Header { return g.head }
func (g *gathered) WriteHeader(int)     {}

// dated sets another clock's time into each answer.
func dated(h http.Handler, at time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", at.UTC().Format(http.TimeFormat))
		h.ServeHTTP(w, r)
	})
}

// cutting is a proxy that passes upgraded connections, and cuts them after so many bytes from the client, or so much silence.
func cutting(t *testing.T, p *process, most int64, silence time.Duration) http.Handler {
	t.Helper()
	plain := passing(t, p)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			plain.ServeHTTP(w, r)
			return
		}
		server, err := net.Dial("tcp", p.addr)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer server.Close()
		if err := r.Write(server); err != nil {
			return
		}
		page, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer page.Close()
		up := make(chan struct{})
		go func() { // ends when either side is closed; awaited below
			defer close(up)
			_, _ = io.Copy(server, io.LimitReader(buffered, most))
			_ = server.Close()
		}()
		down(page, server, silence)
		_ = page.Close()
		<-up
	})
}

// down copies what the server says, until it is silent for too long.
func down(page io.Writer, server net.Conn, silence time.Duration) {
	from := bufio.NewReader(server)
	for {
		_ = server.SetReadDeadline(time.Now().Add(silence))
		if _, err := from.Peek(1); err != nil {
			return
		}
		if _, err := io.CopyN(page, from, int64(from.Buffered())); err != nil {
			return
		}
	}
}

// The machine is examined by the same command, which fails when something is wrong and says what to do.
func TestDoctorCommand(t *testing.T) {
	t.Run("host", func(t *testing.T) {
		out, err := program(t, "doctor", "--data", t.TempDir()).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "disk sync") {
			t.Errorf("%v: %s", err, out)
		}
	})
	t.Run("no such folder", func(t *testing.T) {
		out, err := program(t, "doctor", "--data", filepath.Join(t.TempDir(), "none")).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "checks failed") {
			t.Errorf("%v: %s", err, out)
		}
	})
	t.Run("server", func(t *testing.T) {
		p := startProcess(t)
		file := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(file, []byte(p.token(auth.Claims{User: "anna"})+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := program(t, "doctor", p.url(""), "--token-file", file, "--idle", "0").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "one round trip") {
			t.Errorf("%v: %s", err, out)
		}
	})
	t.Run("nothing to check", func(t *testing.T) {
		out, err := program(t, "doctor").CombinedOutput()
		if err == nil || !strings.Contains(string(out), "say what to check") {
			t.Errorf("%v: %s", err, out)
		}
	})
}
