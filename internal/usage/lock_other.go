//go:build !unix

package usage

import (
	"errors"
	"os"
	"path/filepath"
)

var errLocked = errors.New("in use by another process")

// lockFolder claims nothing: on these systems each process needs a data
// directory of its own.
func lockFolder(dir string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
}
