// Package debiantest finds, for tests, the programs of others that Debian has: installed, or unpacked by scripts/need into bin/debian,
// since some of them would begin to serve if they were installed.
package debiantest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Find returns the absolute path of a program. Where there is none it skips the test, which says what is not tested without it.
func Find(t testing.TB, program, untested string) string {
	t.Helper()
	unpacked := filepath.Join(root(t), "bin/debian/usr")
	for _, path := range []string{program, "/usr/sbin/" + program, unpacked + "/sbin/" + program, unpacked + "/bin/" + program} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	t.Skipf("SKIPPED: there is no %s here, so nobody tests %s; scripts/need tools fetches it", program, untested)
	return ""
}

// Libraries returns what LD_LIBRARY_PATH has to be for the programs that are unpacked.
func Libraries(t testing.TB) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(root(t), "bin/debian/usr/lib/*-linux-gnu*"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(found, string(os.PathListSeparator))
}

// root is where go.mod is: tests run in the folder of their package.
func root(t testing.TB) string {
	t.Helper()
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return folder
		} else if !errors.Is(err, os.ErrNotExist) || folder == filepath.Dir(folder) {
			t.Fatalf("this is no folder of the module: %v", err)
		}
		folder = filepath.Dir(folder)
	}
}
