//go:build linux || darwin

package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

const (
	// enoughFiles is what some thousand connections need, and the store's files.
	enoughFiles = 10_000
	// fewBytes is how much room on the disk is too little.
	fewBytes = 1 << 30
	// slowSync is how long a sync may take before every acknowledgement feels it.
	slowSync = 20 * time.Millisecond
	syncs    = 20
)

// ExamineHost looks at the machine that the server runs on: its limit of open files, and the disk of its data folder.
func ExamineHost(dir string, report func(Finding)) {
	report(named("open files", openFiles()))
	report(named("disk space", diskSpace(dir)))
	report(named("disk sync", diskSync(dir)))
}

func named(name string, f Finding) Finding {
	f.Check = name
	return f
}

// openFiles looks at the hard limit: the server raises its soft one to that.
func openFiles() Finding {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return Finding{Level: Skip, What: err.Error()}
	}
	if limit.Max < enoughFiles {
		return Finding{
			Level: Warn, What: fmt.Sprintf("this user may have %d files open, one for each connection", limit.Max),
			Do: "raise it: LimitNOFILE=1048576 in the systemd unit, or ulimit -Hn",
		}
	}
	return Finding{Level: OK, What: fmt.Sprintf("%d, one for each connection", limit.Max)}
}

func diskSpace(dir string) Finding {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return Finding{Level: Fail, What: fmt.Sprintf("%s: %v", dir, err), Do: "name the server's data folder with --data"}
	}
	free := int64(fs.Bavail) * int64(fs.Bsize)
	if free < fewBytes {
		return Finding{
			Level: Warn, What: fmt.Sprintf("%d MiB are free", free>>20),
			Do: "make room, or bound the store with --keep-total-bytes: a server that cannot write refuses every message",
		}
	}
	return Finding{Level: OK, What: fmt.Sprintf("%d GiB free", free>>30)}
}

// diskSync measures what each acknowledged write waits for, in a file of its own beside the store's.
func diskSync(dir string) Finding {
	f, err := os.CreateTemp(dir, "doctor-*")
	if err != nil {
		return Finding{Level: Fail, What: err.Error(), Do: "run this as the server's user: it must be able to write to its data folder"}
	}
	defer os.Remove(filepath.Clean(f.Name()))
	defer f.Close()
	took := make([]time.Duration, 0, syncs)
	for range syncs {
		start := time.Now()
		if _, err := f.Write(make([]byte, 512)); err != nil {
			return Finding{Level: Fail, What: err.Error(), Do: "see to the disk"}
		}
		if err := f.Sync(); err != nil {
			return Finding{Level: Fail, What: err.Error(), Do: "see to the disk"}
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	median := took[len(took)/2]
	if median > slowSync {
		return Finding{
			Level: Warn, What: fmt.Sprintf("a sync takes %s, and each acknowledgement waits for one", median.Round(time.Millisecond)),
			Do: "put the data folder on a local SSD; or, if a loss of power may cost the last moments, set --durability=process",
		}
	}
	return Finding{Level: OK, What: fmt.Sprintf("%s in the median", median.Round(10*time.Microsecond))}
}
