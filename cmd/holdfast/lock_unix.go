//go:build unix && !aix && !solaris

package main

import (
	"errors"
	"os"
	"syscall"

	"github.com/holdfast/holdfast"
)

// lockFile locks a file for as long as it is open; false if another process has it locked.
func lockFile(f *os.File) (bool, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, syscall.EWOULDBLOCK):
		return false, nil
	}
	return false, holdfast.Wrap(holdfast.CodeUnavailable, err, "%s cannot be locked", f.Name())
}
