package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast/holdfast"
)

// usage is what the operating system says of a process.
type usage struct {
	// cpu is the time it has computed, in user and kernel mode.
	cpu time.Duration
	// rss is the memory it has in RAM, in bytes.
	rss int64
}

// tick is the unit of the times in /proc, which Linux fixes for programs at 1/100 s (proc_pid_stat(5), USER_HZ).
const tick = 10 * time.Millisecond

// usageOf reads what Linux says; elsewhere it is [holdfast.CodeUnavailable].
func usageOf(pid int) (usage, error) {
	var u usage
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, holdfast.Wrap(holdfast.CodeUnavailable, err, "the server's process cannot be looked at; the load generator needs Linux and the server's pid")
	}
	// The name in parentheses may hold spaces; what follows the last one does not.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return u, holdfast.Errorf(holdfast.CodeInternal, "/proc/%d/stat has %d fields", pid, len(fields))
	}
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return u, holdfast.Wrap(holdfast.CodeInternal, err, "/proc/%d/stat cannot be read", pid)
		}
		u.cpu += time.Duration(n) * tick
	}
	u.rss, err = residentOf(pid)
	return u, err
}

func residentOf(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, holdfast.Wrap(holdfast.CodeUnavailable, err, "the server's process is gone")
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				return 0, holdfast.Wrap(holdfast.CodeInternal, err, "/proc/%d/status cannot be read", pid)
			}
			return kb << 10, nil
		}
	}
	return 0, holdfast.Errorf(holdfast.CodeInternal, "/proc/%d/status has no VmRSS", pid)
}

// ownCPU is the time that this program has computed; 0 where the system does not tell.
func ownCPU() time.Duration {
	u, err := usageOf(os.Getpid())
	if err != nil {
		return 0
	}
	return u.cpu
}
