package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/auth"
	"github.com/holdfast/holdfast/internal/relay"
	"github.com/holdfast/holdfast/internal/revocation"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/store/pebble"
)

// A process that leaves hears of what is written, and not of what is revoked: that ends it at once for the clients that it has still.
func TestARevocationEndsTheRelay(t *testing.T) {
	dir := t.TempDir()
	db, err := pebble.Open(pebble.Options{Dir: filepath.Join(dir, "store")})
	if err != nil {
		t.Fatal(err)
	}
	passed := (&successor{dir: dir, log: slog.New(slog.DiscardHandler)}).passOn(db)
	defer passed.Close()
	stop := passed.Watch(func(driver.Change) {})
	defer stop()
	heard, ended := make(chan driver.Change, 1), make(chan error, 1)
	go func() {
		ended <- relay.Follow(t.Context(), filepath.Join(dir, relayFile), func(ch driver.Change) { heard <- ch })
	}()
	for _, set := range [][2]string{{"a consumer's", "{}"}, {revocation.Prefix + "r0", ""}, {revocation.Prefix + "r1", "{}"}} {
		op := driver.Append{Entries: []driver.NewEntry{{Kind: holdfast.KindMessage}}}
		if _, err := passed.Apply(t.Context(), "chat", op); err != nil {
			t.Fatal(err)
		}
		if ch := <-heard; ch.Session != "chat" || len(ch.Items) != 1 {
			t.Fatalf("it is told %v", ch)
		}
		if err := passed.SetConsumer(t.Context(), set[0], set[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-ended; holdfast.CodeOf(err) != holdfast.CodeUnavailable {
		t.Errorf("it ended with %v", err)
	}
}

// A process that waits for the store outlives a SIGHUP, which is meant for the one that serves, and takes over all the same.
func TestAHangUpDoesNotEndWhoWaits(t *testing.T) {
	p := startProcess(t)
	next := p.successor()
	if err := next.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.terminate()
	await(t, func() bool {
		res, err := http.Get(next.url("/readyz"))
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusNoContent
	})
	await(t, func() bool { return strings.Contains(next.out.String(), "the settings were read again") })
}

// A backend that has a connection at rest is to find the next process with its next request, not to be sent away by this one: such
// connections are closed while others are still being told to go.
func TestALeavingServerClosesWhatRests(t *testing.T) {
	p := startProcess(t)
	resting, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer resting.Close()
	if _, err := fmt.Fprintf(resting, "GET /v1/ws/ready HTTP/1.1\r\nHost: %s\r\n\r\n", p.addr); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(resting)
	if res, err := http.ReadResponse(in, nil); err != nil || res.Close {
		t.Fatalf("%v, %v", res, err)
	}
	cut := p.deaf()
	gone := make(chan struct{})
	go func() { p.terminate(); close(gone) }()
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("the connection at rest ended with %v", err)
	}
	select {
	case <-cut:
		t.Error("it was closed when all the others were gone, not before")
	default:
	}
	<-gone
	<-cut
}

// deaf connects a client that never hears a goodbye, and so holds the process up for a while. The channel is closed when it is cut off.
func (p *process) deaf() (cut <-chan struct{}) {
	p.t.Helper()
	c, _, _, err := ws.Dial(p.t.Context(), "ws://"+p.addr+"/v1/ws/1")
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = c.Close() })
	hello := fmt.Sprintf(`{"t":"hello","v":1,"token":%q,"client":"c1","gen":1,"subs":[]}`, p.token(auth.Claims{User: "anna"}))
	if err := ws.WriteFrame(c, ws.MaskFrame(ws.NewTextFrame([]byte(hello)))); err != nil {
		p.t.Fatal(err)
	}
	if _, err := ws.ReadHeader(c); err != nil { // of the welcome
		p.t.Fatal(err)
	}
	over := make(chan struct{})
	go func() { _, _ = io.Copy(io.Discard, c); close(over) }() // ends with the process, at the latest
	return over
}

// What comes to the address of a process whose store another one has is not to be taken and refused: proxies go to the next address when
// this one takes nothing, and most of them do not when it says that it cannot.
func TestALeavingServerListensNoMore(t *testing.T) {
	p := startProcess(t)
	next := p.successor()
	cut := p.deaf()
	gone := make(chan struct{})
	go func() { p.terminate(); close(gone) }()
	await(t, func() bool { return strings.Contains(next.out.String(), "took over the store") })
	await(t, func() bool {
		c, err := net.Dial("tcp", p.addr)
		if err == nil {
			_ = c.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	select {
	case <-cut:
		t.Error("nothing was listened to when all had gone, not before")
	default:
	}
	<-gone
}

// What is wrong with the settings of a process that is to take over is found while the other one serves, not when that has left.
func TestASuccessorFindsItsFaultsFirst(t *testing.T) {
	metrics := freeAddr(t)
	p := startProcess(t, "--metrics-addr", metrics)
	for name, more := range map[string][]string{
		"metrics-addr": {"--metrics-addr", metrics},
		"connections":  {"--connections", "max=many"},
		"drain":        {"--drain", "0s"},
		"admin-addr":   {"--admin-addr", "127.0.0.1:0"},
	} {
		args := append(slices.Clone(p.args), "--addr", freeAddr(t), "--metrics-addr", "", "--take-over")
		cmd := program(t, append(args, more...)...)
		late := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		out, err := cmd.CombinedOutput()
		late.Stop()
		if err == nil || !strings.Contains(string(out), name) {
			t.Errorf("it ended with %v, and says nothing of %s: %s", err, name, out)
		}
	}
	if res, err := http.Get(p.url("/readyz")); err != nil || res.StatusCode != http.StatusNoContent {
		t.Errorf("the one that serves is not ready: %v", err)
	}
}

// One that is killed while the other waits for it to open the store is not waited for.
func TestASuccessorThatDiesIsNotWaitedFor(t *testing.T) {
	dir := t.TempDir()
	s, err := queueFor(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if !waits(dir) {
		t.Fatal("nobody waits")
	}
	arrived := make(chan bool)
	go func() { arrived <- successorOf(t.Context(), dir) }()
	await(t, func() bool { _, err := os.Stat(filepath.Join(dir, leavingFile)); return err == nil })
	if err := s.arrived(&net.TCPAddr{Port: 1}); err != nil {
		t.Fatal(err)
	}
	if !<-arrived {
		t.Fatal("it has arrived")
	}
	taken := make(chan bool)
	go func() { taken <- awaitTaken(t.Context(), dir) }()
	if err := s.file.Close(); err != nil { // as the system does for one that is killed
		t.Fatal(err)
	}
	if <-taken {
		t.Error("nobody has opened the store")
	}
	if successorOf(t.Context(), dir) {
		t.Error("nobody waits any more")
	}
}
