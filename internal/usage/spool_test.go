package usage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func openSpool(t *testing.T, dir string, maxBytes int64) *Spool {
	t.Helper()
	s, err := OpenSpool(dir, maxBytes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func reopen(t *testing.T, s *Spool) *Spool {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return openSpool(t, filepath.Dir(s.dir), 0)
}

func appendTo(t *testing.T, s *Spool, messages ...message) {
	t.Helper()
	if err := s.append(messages); err != nil {
		t.Fatal(err)
	}
}

func numbered(from, to int) []message {
	var list []message
	for i := from; i < to; i++ {
		list = append(list, message{id: fmt.Sprintf("w-%d", i), data: []byte(strings.Repeat("x", i)), records: 2})
	}
	return list
}

// drainAll empties s and returns the ids it held and the faults it met.
func drainAll(t *testing.T, s *Spool) (ids []string, faults []error) {
	t.Helper()
	for range 1000 {
		batch, err := s.peek(7)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if len(batch) == 0 {
			if s.Records() != 0 || !s.empty() {
				t.Errorf("empty, but got %d records, %d bytes", s.Records(), s.bytes.Load())
			}
			return ids, faults
		}
		for _, m := range batch {
			ids = append(ids, m.id)
		}
		s.drop(batch)
	}
	t.Fatal("the spool never ends")
	return nil, nil
}

func wantIDs(t *testing.T, got []string, want []message) {
	t.Helper()
	var ids []string
	for _, m := range want {
		ids = append(ids, m.id)
	}
	if g, w := strings.Join(got, " "), strings.Join(ids, " "); g != w {
		t.Errorf("got  %s\nwant %s", g, w)
	}
}

func TestSpoolKeepsOrderOverRestarts(t *testing.T) {
	s := openSpool(t, t.TempDir(), 0)
	appendTo(t, s, numbered(0, 10)...)
	s = reopen(t, s)
	appendTo(t, s, numbered(10, 20)...)
	appendTo(t, s, numbered(20, 30)...)
	s = reopen(t, s)
	if got := s.Records(); got != 60 {
		t.Errorf("got %d records, want 60", got)
	}
	ids, faults := drainAll(t, s)
	wantIDs(t, ids, numbered(0, 30))
	if faults != nil {
		t.Errorf("got faults %v, want none", faults)
	}
	if left, _ := filepath.Glob(filepath.Join(s.dir, "*.seg")); left != nil {
		t.Errorf("got %v left on disk, want no segment", left)
	}
	appendTo(t, s, numbered(30, 31)...)
	ids, _ = drainAll(t, s)
	wantIDs(t, ids, numbered(30, 31))
}

// Wherever a crash cuts the last append, what was whole before it is there,
// and what comes after it too.
func TestSpoolSurvivesTornAppend(t *testing.T) {
	whole := appendFrame(nil, numbered(5, 6)[0])
	for cut := range len(whole) {
		s := openSpool(t, t.TempDir(), 0)
		appendTo(t, s, numbered(0, 5)...)
		f, err := os.OpenFile(s.segments[0].path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(whole[:cut]); err != nil {
			t.Fatal(err)
		}
		f.Close()
		s = reopen(t, s)
		appendTo(t, s, numbered(6, 8)...)
		ids, faults := drainAll(t, s)
		wantIDs(t, ids, append(numbered(0, 5), numbered(6, 8)...))
		if faults != nil {
			t.Errorf("cut after %d bytes: got faults %v, want none", cut, faults)
		}
	}
}

func TestSpoolReportsDamage(t *testing.T) {
	s := openSpool(t, t.TempDir(), 0)
	appendTo(t, s, numbered(0, 10)...)
	path := s.segments[0].path
	s.Close()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1 // in the last frame
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	appendTo(t, s, numbered(10, 12)...)
	ids, faults := drainAll(t, s)
	wantIDs(t, ids, append(numbered(0, 9), numbered(10, 12)...))
	if len(faults) != 1 || !errors.Is(faults[0], ErrCorrupt) {
		t.Errorf("got faults %v, want one that is ErrCorrupt", faults)
	}
}

func TestSpoolIsFullAtItsSizeButTakesMore(t *testing.T) {
	s := openSpool(t, t.TempDir(), 1000)
	for i := range 100 {
		full := s.bytes.Load() >= 1000
		if got := s.full(); got != full {
			t.Fatalf("after %d messages: got full %v, want %v", i, got, full)
		}
		appendTo(t, s, message{id: fmt.Sprint(i), data: make([]byte, 90), records: 1})
	}
	ids, _ := drainAll(t, s)
	if len(ids) != 100 || s.full() {
		t.Errorf("got %d messages, full %v; want 100, false", len(ids), s.full())
	}
}

func TestSpoolRotatesSegments(t *testing.T) {
	s := openSpool(t, t.TempDir(), 0)
	big := make([]byte, segmentBytes/2)
	for i := range 5 {
		appendTo(t, s, message{id: fmt.Sprint(i), data: big, records: 1})
	}
	if got := len(s.segments); got != 3 {
		t.Errorf("got %d segments, want 3", got)
	}
	ids, _ := drainAll(t, s)
	if got := strings.Join(ids, " "); got != "0 1 2 3 4" {
		t.Errorf("got %s, want 0 1 2 3 4", got)
	}
}

// Two live processes do not disturb each other; what a dead one left is taken
// over by the next to come.
func TestSpoolsShareADirectory(t *testing.T) {
	dir := t.TempDir()
	first := openSpool(t, dir, 0)
	second := openSpool(t, dir, 0)
	appendTo(t, first, numbered(0, 3)...)
	appendTo(t, second, numbered(3, 6)...)
	if first.dir == second.dir {
		t.Fatalf("got the same folder %s for both", first.dir)
	}
	second.Close()
	first.Close()
	third := openSpool(t, dir, 0)
	ids, _ := drainAll(t, third)
	wantIDs(t, ids, numbered(0, 6))
}
