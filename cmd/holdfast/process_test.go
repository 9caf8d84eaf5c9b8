package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast/internal/auth"
)

// asProgram makes the test's binary behave as the program itself.
const asProgram = "HOLDFAST_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	if os.Getenv(asProducer) != "" {
		produce(os.Args)
		return
	}
	os.Exit(m.Run())
}

// program runs this program with arguments; its output goes to the test's log when the test fails.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// web keeps a connection for each of many writers.
var web = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 512}}

// process is a server in a process of its own, which can be killed and started again.
type process struct {
	t    *testing.T
	addr string
	args []string
	key  auth.Key
	cmd  *exec.Cmd
	out  output
	// to is where its output goes instead of out; nil: nowhere else.
	to io.Writer
	// wake are the watching clients' way to come back at once.
	wake []func()
	// own is the client that calls are made with; nil: the common one.
	own *http.Client
}

// output is what a process has written so far.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// startProcess starts holdfast serve on a free port, with a data folder of its own.
func startProcess(t *testing.T, args ...string) *process {
	t.Helper()
	p := newProcess(t, args...)
	p.start()
	return p
}

// newProcess is startProcess without the start.
func newProcess(t *testing.T, args ...string) *process {
	t.Helper()
	dir := t.TempDir()
	secretFile := filepath.Join(dir, "secret")
	secret := auth.NewSecret()
	if err := auth.SaveSecret(secretFile, secret); err != nil {
		t.Fatal(err)
	}
	key, err := auth.SecretKey("", secret)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, addr: freeAddr(t), key: key}
	p.args = append([]string{"serve", "--addr", p.addr, "--data", filepath.Join(dir, "data"), "--jwt-secret-file", secretFile}, args...)
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("the server's log:\n%s", p.out.String())
		}
	})
	return p
}

// freeAddr is a port that was free a moment ago. The server must come back on the same one.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (p *process) launch() {
	p.t.Helper()
	p.cmd = program(p.t, p.args...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if p.to != nil {
		p.cmd.Stdout, p.cmd.Stderr = p.to, p.to
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) start() {
	p.t.Helper()
	p.launch()
	await(p.t, func() bool {
		res, err := http.Get(p.url("/readyz"))
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusNoContent
	})
}

// kill is kill -9. It is harmless when the process is dead.
func (p *process) kill() {
	if p.cmd == nil || p.cmd.ProcessState != nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	_ = p.cmd.Wait()
}

func (p *process) url(path string) string { return "http://" + p.addr + path }

func (p *process) token(c auth.Claims) string {
	p.t.Helper()
	c.Expires = time.Now().Add(time.Hour)
	token, err := auth.Mint(p.key, c)
	if err != nil {
		p.t.Fatal(err)
	}
	return token
}

// call makes a request and decodes the answer; an error is a status that is not 2xx, or no answer.
func (p *process) call(ctx context.Context, method, path, token string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, p.url(path), body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := cmp.Or(p.own, web).Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return fmt.Errorf("%s: %s", res.Status, text)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

// await asks again until ok: another process has no signal to wait for.
func await(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it did not happen in time")
		}
	}
}
