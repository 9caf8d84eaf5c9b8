package ws

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"runtime"
	"syscall"
	"testing"

	"github.com/holdfast/holdfast/transport"
)

const (
	idleConns = 5000
	// maxIdleBytes is what an idle connection may cost the Go heap and the stacks; the kernel's share is not in it. 2 KiB
	// are the stack of a goroutine that did nothing but wait.
	maxIdleBytes = 3600
)

// TestIdleMemory measures what idle connections cost, each after it has carried a message both ways. The clients are
// bare file descriptors, so that what grows is the server's.
func TestIdleMemory(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("the race detector multiplies memory; -short leaves large tests out")
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < 2*idleConns+200 {
		t.Skipf("needs %d open files, the limit is %d (error %v)", 2*idleConns+200, limit.Cur, err)
	}
	arrived := make(chan struct{}, idleConns)
	s := start(t, func(_ context.Context, c transport.Conn) { c.(*conn).Detach(&echoing{c, arrived}) }, Options{})
	fds := make([]int, 0, idleConns)
	t.Cleanup(func() {
		for _, fd := range fds {
			_ = syscall.Close(fd)
		}
	})
	before := footprint()
	for range idleConns {
		fds = append(fds, dialFD(t, s))
	}
	for range idleConns {
		within(t, "a message of each connection", arrived)
	}
	after := footprint()
	heap, stack := (after.HeapAlloc-before.HeapAlloc)/idleConns, (after.StackInuse-before.StackInuse)/idleConns
	per := heap + stack
	t.Logf("%d bytes per idle connection: %d heap, %d stack (%d connections)", per, heap, stack, idleConns)
	if per > maxIdleBytes {
		t.Errorf("an idle connection costs %d bytes, more than %d", per, maxIdleBytes)
	}
}

// echoing answers each message with itself, and says so.
type echoing struct {
	conn    transport.Conn
	arrived chan<- struct{}
}

func (e *echoing) Message(_ context.Context, msg []byte) error {
	err := writeAll(e.conn, e.conn.AppendMessage(nil, msg))
	e.arrived <- struct{}{}
	return err
}

func (e *echoing) Ended(error) {}

// footprint is taken after collections: the first of them empties the pools in part and shrinks stacks.
func footprint() (m runtime.MemStats) {
	for range 4 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m
}

// dialFD upgrades a connection and sends one message, without the Go network stack.
func dialFD(t *testing.T, s *httptest.Server) int {
	t.Helper()
	addr := s.Listener.Addr().(*net.TCPAddr)
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: addr.Port, Addr: [4]byte(addr.IP.To4())}); err != nil {
		t.Fatal(err)
	}
	hello := fmt.Appendf(nil, upgrade, addr, "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n")
	if _, err := syscall.Write(fd, append(hello, text(`{"hello":"a first message"}`)...)); err != nil {
		t.Fatal(err)
	}
	var answer [1024]byte
	if n, err := syscall.Read(fd, answer[:]); err != nil || !bytes.Contains(answer[:n], []byte(" 101 ")) {
		t.Fatalf("answer %q, error %v", answer[:n], err)
	}
	return fd
}
