package bench

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/auth"
)

// ServerOptions say which server is driven. With Binary one is started; with URL, PID and SecretFile one that runs is used.
type ServerOptions struct {
	// Binary is the program, whose command serve is run.
	Binary string
	// Args are more arguments for it.
	Args []string
	// Dir is where its data go: a folder of its own is made there, and removed at the end. Default: the system's.
	Dir string
	// Log gets its log. Default: it is dropped.
	Log io.Writer

	// URL is that of a server that runs, PID its process, SecretFile the secret that it takes tokens by.
	URL        string
	PID        int
	SecretFile string
}

// Target is a server under load.
type Target struct {
	// Static after construction.
	opts ServerOptions
	url  string
	key  auth.Key

	// Of a server of our own.
	dir, addr, debug string
	cmd              *exec.Cmd

	pid int
}

// Start starts a server of its own, or finds the one that runs, and waits until it is ready. Stop must be called.
func Start(ctx context.Context, o ServerOptions) (*Target, error) {
	t := &Target{opts: o, url: o.URL, pid: o.PID}
	if o.URL != "" {
		return t, t.find(ctx)
	}
	if o.Binary == "" {
		return nil, holdfast.Errorf(holdfast.CodeInvalid, "there is no server: give a program to start, or the URL, pid and secret of one that runs")
	}
	dir, err := os.MkdirTemp(o.Dir, "holdfast-bench-")
	if err != nil {
		return nil, holdfast.Wrap(holdfast.CodeUnavailable, err, "the folder for the server's data cannot be made")
	}
	t.dir = dir
	if err := t.prepare(); err != nil {
		t.Stop()
		return nil, err
	}
	if _, err := t.launch(ctx); err != nil {
		t.Stop()
		return nil, err
	}
	return t, nil
}

func (t *Target) find(ctx context.Context) error {
	if t.pid == 0 || t.opts.SecretFile == "" {
		return holdfast.Errorf(holdfast.CodeInvalid, "a server that runs needs its pid too, to look at its memory and CPU, and the file with its secret, to sign tokens")
	}
	secret, err := auth.LoadSecret(t.opts.SecretFile)
	if err != nil {
		return err
	}
	if t.key, err = auth.SecretKey("", secret); err != nil {
		return err
	}
	return t.ready(ctx)
}

// prepare chooses ports and makes the secret.
func (t *Target) prepare() (err error) {
	if t.addr, err = freePort(); err != nil {
		return err
	}
	if t.debug, err = freePort(); err != nil {
		return err
	}
	t.url = "http://" + t.addr
	secret, err := auth.LoadOrCreateSecret(filepath.Join(t.dir, "secret"))
	if err != nil {
		return err
	}
	t.key, err = auth.SecretKey("", secret)
	return err
}

// freePort finds a port of the loopback address that is free now. Another program may take it before the server does; then
// the server says so.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", holdfast.Wrap(holdfast.CodeUnavailable, err, "there is no free port")
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// launch starts the process and returns how long it took to be ready.
func (t *Target) launch(ctx context.Context) (time.Duration, error) {
	args := append([]string{"serve", "--addr", t.addr, "--debug-addr", t.debug, "--data", filepath.Join(t.dir, "data"),
		"--jwt-secret-file", filepath.Join(t.dir, "secret"), "--log-level", "warn"}, t.opts.Args...)
	t.cmd = exec.Command(t.opts.Binary, args...)
	t.cmd.Stderr, t.cmd.Stdout = t.opts.Log, t.opts.Log
	begun := time.Now()
	if err := t.cmd.Start(); err != nil {
		t.cmd = nil
		return 0, holdfast.Wrap(holdfast.CodeUnavailable, err, "the server cannot be started")
	}
	t.pid = t.cmd.Process.Pid
	err := t.ready(ctx)
	return time.Since(begun), err
}

func (t *Target) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url+"/readyz", nil)
		if err != nil {
			return holdfast.Wrap(holdfast.CodeInvalid, err, "the server's URL is not usable")
		}
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusNoContent {
				return nil
			}
		}
		if syscall.Kill(t.pid, 0) != nil || exited(t.pid) {
			return holdfast.Errorf(holdfast.CodeUnavailable, "the server ended before it was ready; its log says why (--server-log)")
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return holdfast.Wrap(holdfast.CodeUnavailable, ctx.Err(), "the server did not become ready")
		}
	}
}

// exited reports whether a process has ended and only waits to be collected.
func exited(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && containsLine(stat, "State:\tZ")
}

// Restart stops the server as an operator would, and starts it again on the same data. It returns how long the second took
// to be ready.
func (t *Target) Restart(ctx context.Context) (time.Duration, error) {
	if t.cmd == nil {
		return 0, holdfast.Errorf(holdfast.CodeInvalid, "a server that the load generator did not start is not restarted")
	}
	t.terminate()
	return t.launch(ctx)
}

// terminate stops the server as an operator would, and waits. How it ended is its own matter: whether it kept what it
// acknowledged is what is verified.
func (t *Target) terminate() {
	cmd := t.cmd
	t.cmd = nil
	_ = cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	_ = cmd.Wait()
}

// Stop stops a server of our own, and removes its data.
func (t *Target) Stop() {
	if t.cmd != nil {
		t.terminate()
	}
	if t.dir != "" {
		_ = os.RemoveAll(t.dir)
	}
}

func (t *Target) usage() (usage, error) { return usageOf(t.pid) }

// collect makes the server collect its garbage now. false if that cannot be asked of it.
func (t *Target) collect(ctx context.Context) bool {
	if t.debug == "" {
		return false
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.debug+"/debug/pprof/heap?gc=1", nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err == nil
}

// backendToken may do everything; userToken may read and send everywhere.
func (t *Target) backendToken() (string, error) {
	return auth.Mint(t.key, auth.Claims{Backend: true, Expires: time.Now().Add(tokenLife)})
}

func (t *Target) userToken(u holdfast.UserID) (string, error) {
	all := []string{"*"}
	return auth.Mint(t.key, auth.Claims{User: u, Read: all, Send: all, Stop: all, Expires: time.Now().Add(tokenLife)})
}

const tokenLife = 24 * time.Hour
