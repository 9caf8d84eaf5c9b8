//go:build !unix || aix || solaris

package main

import (
	"os"

	"github.com/holdfast/holdfast"
)

// lockFile is not there on this system.
func lockFile(*os.File) (bool, error) {
	return false, holdfast.Errorf(holdfast.CodeUnavailable, "taking over a store is not possible on this system: stop the other process first")
}
