package usage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	// DefaultSpoolBytes is SPOOL_MAX_BYTES where it is not set.
	DefaultSpoolBytes = 1 << 30

	slots = 64 // processes that may share one spool directory
)

// Spool keeps on disk the messages that LOG did not take, in order, until it
// does. It is safe for concurrent use by one appender and one reader.
//
// The directory holds one numbered folder for each process that uses it at the
// same time, claimed by a lock on it; what a dead process left is taken over
// by the next that opens the directory. A folder holds segments,
// <number>.seg, append-only files of frames:
//
//	length(4) crc32c(4) records(2) idlength(1) id data
//
// integers little-endian, length and CRC over what follows the CRC. Each
// append is one write and one fsync, so what Append accepted survives a crash
// and a loss of power. A torn frame at the end of a segment, left by a crash
// in mid-append, is ignored; a frame whose CRC is wrong ends its segment. What
// was sent is forgotten by whole segments: after a crash up to 4 MiB are sent
// again, under the same ids.
type Spool struct {
	dir  string
	max  int64
	lock *os.File

	filled  chan struct{} // something was appended; never closed
	bytes   atomic.Int64  // in all segments, from offset on
	records atomic.Int64  // in them

	mu       sync.Mutex // guards the rest, also while the disk is at work
	segments []segment  // oldest first; the last is written to if tail is set
	tail     *os.File
	head     *os.File // segments[0], open for reading; nil until needed
	offset   int64    // in segments[0]: what lies before was sent
}

// message is one message of LOG.
type message struct {
	id      string
	data    []byte
	records int
}

// OpenSpool opens or makes the spool in dir and takes over what processes that
// no longer run have left there. maxBytes <= 0 means DefaultSpoolBytes. The
// caller closes it after the Packer's Run has returned.
func OpenSpool(dir string, maxBytes int64) (*Spool, error) {
	if maxBytes <= 0 {
		maxBytes = DefaultSpoolBytes
	}
	s := &Spool{max: maxBytes, filled: make(chan struct{}, 1)}
	for i := range slots {
		slot := filepath.Join(dir, strconv.Itoa(i))
		if _, err := os.Stat(slot); s.lock != nil && err != nil {
			break // slots are made in order: no further one exists
		}
		if err := os.MkdirAll(slot, 0o700); err != nil {
			return nil, fmt.Errorf("make spool: %w", err)
		}
		lock, err := lockFolder(slot)
		if errors.Is(err, errLocked) {
			continue
		}
		if err == nil && s.lock == nil {
			s.dir, s.lock = slot, lock
			err = s.load(slot)
		} else if err == nil {
			err = errors.Join(s.load(slot), lock.Close())
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open spool: %w", err), s.Close())
		}
	}
	if s.lock == nil {
		return nil, fmt.Errorf("open spool: all %d folders of %s are in use", slots, dir)
	}
	s.signal()
	return s, nil
}

// load adds the segments found in folder, moving them into s.dir.
func (s *Spool) load(folder string) error {
	paths, err := filepath.Glob(filepath.Join(folder, "*.seg"))
	if err != nil {
		return err
	}
	slices.Sort(paths) // numbers have a fixed width
	for _, path := range paths {
		number := s.nextNumber()
		if folder == s.dir {
			name := strings.TrimSuffix(filepath.Base(path), ".seg")
			if number, err = strconv.ParseUint(name, 16, 64); err != nil {
				return fmt.Errorf("%s is not a segment", path)
			}
		} else {
			to := s.segmentPath(number)
			if err := os.Rename(path, to); err != nil {
				return err
			}
			path = to
		}
		g, err := scan(path)
		if err != nil {
			return err
		}
		if g.size == 0 {
			if err := os.Remove(path); err != nil {
				return err
			}
			continue
		}
		g.number = number
		s.segments = append(s.segments, g)
		s.bytes.Add(g.size)
		s.records.Add(g.records)
	}
	return nil
}

func (s *Spool) segmentPath(number uint64) string {
	return filepath.Join(s.dir, fmt.Sprintf("%016x.seg", number))
}

func (s *Spool) nextNumber() uint64 {
	if len(s.segments) == 0 {
		return 1
	}
	return s.segments[len(s.segments)-1].number + 1
}

// append writes messages to the end and returns once they are on disk. On an
// error none of them is in the spool.
func (s *Spool) append(messages []message) error {
	if len(messages) == 0 {
		return nil
	}
	var frames []byte
	var records int64
	for _, m := range messages {
		frames = appendFrame(frames, m)
		records += int64(m.records)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.openTailLocked(); err != nil {
		return err
	}
	g := &s.segments[len(s.segments)-1]
	_, err := s.tail.WriteAt(frames, g.size)
	if err == nil {
		err = s.tail.Sync()
	}
	if err != nil {
		return fmt.Errorf("append to spool: %w", err)
	}
	g.size += int64(len(frames))
	g.records += records
	s.bytes.Add(int64(len(frames)))
	s.records.Add(records)
	s.signal()
	return nil
}

// openTailLocked makes sure that there is a segment to write to. A segment of
// an earlier process is never written to: its end may be torn.
func (s *Spool) openTailLocked() error {
	if s.tail != nil && s.segments[len(s.segments)-1].size < segmentBytes {
		return nil
	}
	g := segment{number: s.nextNumber()}
	g.path = s.segmentPath(g.number)
	f, err := os.OpenFile(g.path, os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("make spool segment: %w", err)
	}
	if err := syncFolder(s.dir); err != nil {
		return errors.Join(fmt.Errorf("sync spool: %w", err), f.Close())
	}
	if s.tail != nil {
		s.tail.Close() // its frames are synced already
	}
	s.tail = f
	s.segments = append(s.segments, g)
	return nil
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// peek returns up to limit of the oldest messages, fewer at the end of a segment. They
// stay in the spool until drop. None means that the spool is empty. An error
// that wraps ErrCorrupt says what was given up; the next call goes on after it.
func (s *Spool) peek(limit int) ([]spooled, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes.Load() == 0 {
		return nil, nil
	}
	g := s.segments[0]
	if s.head == nil {
		f, err := os.Open(g.path)
		if err != nil {
			return nil, fmt.Errorf("read spool: %w", err)
		}
		s.head = f
	}
	var batch []spooled
	for at := s.offset; at < g.size && len(batch) < limit; {
		m, end, err := readFrame(s.head, at, g.size)
		if errors.Is(err, ErrCorrupt) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read spool: %w", err)
		}
		batch = append(batch, spooled{m, end})
		at = end
	}
	if len(batch) > 0 {
		return batch, nil
	}
	damage := fmt.Errorf("%w: %d records in %s", ErrCorrupt, g.records, g.path)
	s.removeHeadLocked()
	return nil, damage
}

// drop removes messages that peek returned last, from the first on.
func (s *Spool) drop(sent []spooled) {
	if len(sent) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g := &s.segments[0]
	end := sent[len(sent)-1].end
	s.bytes.Add(-(end - s.offset))
	s.offset = end
	for _, m := range sent {
		g.records -= int64(m.records)
		s.records.Add(-int64(m.records))
	}
	if s.offset == g.size {
		s.removeHeadLocked()
	}
}

// removeHeadLocked forgets the oldest segment, and with the last one the file
// being written. A file that cannot be removed is sent again after a restart,
// which does no harm.
func (s *Spool) removeHeadLocked() {
	g := s.segments[0]
	s.bytes.Add(-(g.size - s.offset))
	s.records.Add(-g.records)
	s.offset = 0
	if s.head != nil {
		s.head.Close()
		s.head = nil
	}
	s.segments = s.segments[1:]
	if len(s.segments) == 0 && s.tail != nil {
		s.tail.Close()
		s.tail = nil
	}
	os.Remove(g.path)
}

func (s *Spool) signal() {
	select {
	case s.filled <- struct{}{}:
	default:
	}
}

// empty, full and Records do not wait for the disk: admission asks full before
// each request.
func (s *Spool) empty() bool { return s.bytes.Load() == 0 }
func (s *Spool) full() bool  { return s.bytes.Load() >= s.max }

// Records is the number of records that wait in the spool.
func (s *Spool) Records() int64 { return s.records.Load() }

// Close gives the spool's files and its lock back. What waits stays on disk.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, f := range []*os.File{s.head, s.tail, s.lock} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	s.head, s.tail, s.lock = nil, nil, nil
	return errors.Join(errs...)
}
