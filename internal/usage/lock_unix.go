//go:build unix

package usage

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

var errLocked = errors.New("in use by another process")

// lockFolder claims dir for this process until the file is closed or the
// process ends. It returns errLocked if another one holds it.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errLocked
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
