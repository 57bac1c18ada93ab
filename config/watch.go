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
// rather than files, whose inodes change with every save. Each has one name
// here however the configuration speaks of it, since the system tells of a
// directory that is watched by two names under one of them only.
type watchList struct {
	folders []string // any configuration file in these concerns us
	names   []string // single paths: the folders themselves and the .env file
}

func (s *Source) watchList() watchList {
	envFile := s.options.EnvFile
	if envFile == "" {
		envFile = ".env"
	}
	list := watchList{names: []string{place(envFile)}}
	env, err := s.options.Environment()
	if err != nil { // the .env file is being written; the directories are known without it
		env = &Environment{}
	}
	for _, c := range candidates(s.options, env) {
		for _, dir := range []string{c.dir, filepath.Join(c.dir, "providers"), filepath.Join(c.dir, "models")} {
			list.names = append(list.names, place(dir))
			list.folders = append(list.folders, followed(dir))
		}
	}
	return list
}

// place is where path stands: its directory's one name and its own.
func place(path string) string {
	return filepath.Join(followed(filepath.Dir(path)), filepath.Base(path))
}

// followed is the absolute name of a directory without links, or with those in
// it if it is not there.
func followed(dir string) string {
	if absolute, err := filepath.Abs(dir); err == nil {
		dir = absolute
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		return real
	}
	return dir
}

// register watches the folders that exist and the parents of single paths, and
// nothing else. Each is registered anew, because its name may be another
// directory's now.
// The error names all that exist and cannot be watched; the others are.
func (l watchList) register(w *fsnotify.Watcher) error {
	dirs := slices.Clone(l.folders)
	for _, name := range l.names {
		dirs = append(dirs, filepath.Dir(name))
	}
	slices.Sort(dirs)
	for _, dir := range w.WatchList() {
		_ = w.Remove(dir) // it may have gone by itself
	}
	var faults []error
	for _, dir := range slices.Compact(dirs) {
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
