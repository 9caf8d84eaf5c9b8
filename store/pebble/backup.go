package pebble

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	pebbledb "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/holdfast/holdfast"
)

// Backup copies the store, as it stands, into the directory dst, which must not exist. It may run beside all other
// operations. On one file system most of it is hard links: quick, and no protection from the disk's failure until it is
// copied elsewhere. A backup is a store like any other: [Verify] reads it, [Restore] copies it back.
func (d *Driver) Backup(dst string) error {
	_, done, err := d.acquire() // Close waits until it is done
	if err != nil {
		return err
	}
	defer done()
	return checkpoint(d.db, dst)
}

// Backup is [Driver.Backup] for a closed store in src.
func Backup(src, dst string) error {
	if err := exists(src); err != nil {
		return err
	}
	o := Options{Dir: src}
	if err := o.setDefaults(); err != nil {
		return err
	}
	db, release, err := openDB(&o, false)
	if err != nil {
		return err
	}
	return errors.Join(checkpoint(db, dst), db.Close(), release())
}

func checkpoint(db *pebbledb.DB, dst string) error {
	if err := absent(dst); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(filepath.Clean(dst)), 0o700); err != nil {
		return fmt.Errorf("making the directory above the backup: %w", err)
	}
	if err := db.Checkpoint(dst, pebbledb.WithFlushedWAL()); err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	return nil
}

// absent refuses to write over what is there; an empty directory is no obstacle to people, but is to Pebble.
func absent(dst string) error {
	entries, err := os.ReadDir(dst)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case len(entries) > 0:
		return holdfast.Errorf(holdfast.CodeConflict, "%s is there and not empty; choose a new directory", dst)
	}
	return os.Remove(dst)
}

// Restore copies the backup in src to the directory dst, which must not exist or be empty, and verifies the copy.
// Nothing in dst is shared with src afterwards. What was written after the backup is lost: readers who were shown it
// are told so by their positions' tags.
func Restore(ctx context.Context, src, dst string) error {
	if err := exists(src); err != nil {
		return err
	}
	if err := absent(dst); err != nil {
		return err
	}
	lock, err := pebbledb.LockDirectory(src, vfs.Default)
	if err != nil {
		return holdfast.Wrap(holdfast.CodeUnavailable, err, "the store in %s is in use by another process; stop it, or restore from a backup", src)
	}
	if err := errors.Join(copyDir(ctx, src, dst), lock.Close()); err != nil {
		return err
	}
	report, err := Verify(ctx, dst)
	if err != nil {
		return err
	}
	if len(report.Problems) > 0 {
		p := report.Problems[0]
		return holdfast.Errorf(holdfast.CodeConflict, "the copy in %s is damaged, first in session %q: %s; use another backup",
			dst, p.Session, p.Text)
	}
	return nil
}

func copyDir(ctx context.Context, src, dst string) error {
	if err := os.MkdirAll(dst, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(src)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !e.Type().IsRegular() || e.Name() == "LOCK" {
			continue
		}
		if err := copyFile(filepath.Join(src, e.Name()), filepath.Join(dst, e.Name())); err != nil {
			return fmt.Errorf("copying the store: %w", err)
		}
	}
	dir, err := os.Open(dst)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func copyFile(src, dst string) (err error) {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Sync()
}
