package pebble

import (
	"os"

	pebbledb "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// InUse reports whether another process has the store in a directory open. One that is not there is in nobody's use. What
// cannot be found out counts as not in use: opening it says why.
func InUse(dir string) bool {
	if _, err := os.Stat(dir); err != nil {
		return false
	}
	lock, err := pebbledb.LockDirectory(dir, vfs.Default)
	if err != nil {
		return true
	}
	return lock.Close() != nil
}
