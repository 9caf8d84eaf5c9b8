package pebble

import (
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// unsyncedLog is a file system on which syncing the write-ahead log does nothing. With it a commit still hands the log
// to the operating system before it is acknowledged, so that a killed program loses nothing; Pebble's own unsynced
// commits would leave up to a block of it in the program's memory.
type unsyncedLog struct{ vfs.FS }

func (fs unsyncedLog) wrap(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil || !strings.HasSuffix(name, ".log") {
		return f, err
	}
	return unsyncedFile{f}, nil
}

func (fs unsyncedLog) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	return fs.wrap(name, f, err)
}

func (fs unsyncedLog) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.ReuseForWrite(old, name, category)
	return fs.wrap(name, f, err)
}

func (fs unsyncedLog) Unwrap() vfs.FS { return fs.FS }

type unsyncedFile struct{ vfs.File }

func (unsyncedFile) Sync() error                { return nil }
func (unsyncedFile) SyncData() error            { return nil }
func (unsyncedFile) SyncTo(int64) (bool, error) { return false, nil }
