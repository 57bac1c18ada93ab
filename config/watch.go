package config

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long the files must be quiet before they are read: editors
// and Kubernetes replace them in several steps.
const settle = 100 * time.Millisecond

// lookAgain is how soon folders are tried again that could not be watched.
const lookAgain = 5 * time.Second

// kubernetesSwap is the link that Kubernetes turns to publish a new version
// of all files of a mounted ConfigMap or Secret at once.
const kubernetesSwap = "..data"

// Watch reloads whenever a configuration file or the .env file changes, until
// ctx ends. It calls report, never concurrently, after each reload that
// brought another revision (nil) or that was refused, the first time for each
// error. A folder that cannot be watched is reported likewise and tried again.
// The error of Watch itself is that a folder cannot be watched at the start.
func (s *Source) Watch(ctx context.Context, report func(error)) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch configuration: %w", err)
	}
	defer w.Close()
	watched := s.watchList()
	if err := watched.register(w); err != nil {
		return err
	}
	// A change between the first load and now went unseen.
	quiet := time.NewTimer(settle)
	defer quiet.Stop()
	// What the first load left out has been told at the start.
	told := errorText(refused(s.Current().Problems))
	blind := "" // why a folder is not watched, as told last
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-w.Errors:
			// The queue overflowed: something changed, nobody knows what.
			report(fmt.Errorf("watch configuration: %w", err))
			quiet.Reset(settle)
		case event := <-w.Events:
			if watched.concerns(event) {
				quiet.Reset(settle)
			}
		case <-quiet.C:
			// Register first: directories may be new, and what changes while
			// the files are read must be seen.
			watched = s.watchList()
			err := watched.register(w)
			if err != nil {
				if err.Error() != blind {
					report(err)
				}
				quiet.Reset(lookAgain)
			}
			blind = errorText(err)
			told = s.reloadAndTell(told, report)
		}
	}
}

// reloadAndTell returns what was told last: an error's text, or "".
func (s *Source) reloadAndTell(told string, report func(error)) string {
	before := s.Current().Revision
	if err := s.Reload(); err != nil {
		if err.Error() != told {
			report(err)
		}
		return err.Error()
	}
	if s.Current().Revision != before || told != "" {
		report(nil)
	}
	return ""
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// watchList is what a Source must keep an eye on. Directories are watched
// rather than files, whose inodes change with every save.
type watchList struct {
	folders []string // any configuration file in these concerns us
	names   []string // single paths: the folders themselves and the .env file
}

func (s *Source) watchList() watchList {
	envFile := s.options.EnvFile
	if envFile == "" {
		envFile = ".env"
	}
	list := watchList{names: []string{filepath.Clean(envFile)}}
	env, err := s.options.Environment()
	if err != nil { // the .env file is being written; the directories are known without it
		env = &Environment{}
	}
	for _, c := range candidates(s.options, env) {
		dir := filepath.Clean(c.dir)
		list.names = append(list.names, dir)
		list.folders = append(list.folders, dir, filepath.Join(dir, "providers"), filepath.Join(dir, "models"))
	}
	return list
}

// register watches the folders that exist and the parents of single paths.
// Each is registered anew, because the path may lead to another directory now.
// The error names all that exist and cannot be watched; the others are.
func (l watchList) register(w *fsnotify.Watcher) error {
	dirs := slices.Clone(l.folders)
	for _, name := range l.names {
		dirs = append(dirs, filepath.Dir(name))
	}
	slices.Sort(dirs)
	var faults []error
	for _, dir := range slices.Compact(dirs) {
		_ = w.Remove(dir) // the first time there is nothing to remove
		err := w.Add(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			faults = append(faults, fmt.Errorf("watch %s: %w", dir, err))
		}
	}
	return errors.Join(faults...)
}

// concerns reports whether an event may change the configuration. The parents
// hold other files, such as logs, which do not.
func (l watchList) concerns(e fsnotify.Event) bool {
	if e.Op == fsnotify.Chmod {
		return false
	}
	path := filepath.Clean(e.Name)
	base := filepath.Base(path)
	switch {
	case base == kubernetesSwap || slices.Contains(l.names, path) || slices.Contains(l.folders, path):
		return true
	case strings.HasPrefix(base, "."): // an editor's
		return false
	}
	return slices.Contains(l.folders, filepath.Dir(path)) && strings.HasSuffix(base, ".json")
}
