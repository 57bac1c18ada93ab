package provider

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"model-proxy/internal/llm"
)

// event is an llm.Event that can be kept and compared; "-" stands for nil.
type event struct{ Raw, Type, Data string }

func keep(e llm.Event) event { return event{string(e.Raw), orDash(e.Type), orDash(e.Data)} }

func orDash(b []byte) string {
	if b == nil {
		return "-"
	}
	return string(b)
}

// collect reads src to its end. A small buffer makes it grow and move.
func collect(src io.Reader, limit int) ([]event, error) {
	r := &reader{buf: make([]byte, 4)}
	r.reset(src, limit)
	var list []event
	for {
		events, err := r.next()
		if err != nil {
			return list, err
		}
		for _, e := range events {
			list = append(list, keep(e))
		}
	}
}

func TestReader(t *testing.T) {
	tests := map[string]struct {
		in   string
		want []event
	}{
		"empty":    {"", nil},
		"data":     {"data: a\n\n", []event{{"data: a\n\n", "-", "a"}}},
		"no blank": {"data:a\n\n", []event{{"data:a\n\n", "-", "a"}}},
		"one blank is stripped": {"data:  a \n\n", []event{
			{"data:  a \n\n", "-", " a "}}},
		"crlf": {"event: x\r\ndata: a\r\n\r\ndata: b\r\n\r\n", []event{
			{"event: x\r\ndata: a\r\n\r\n", "x", "a"}, {"data: b\r\n\r\n", "-", "b"}}},
		"cr": {"data: a\r\rdata: b\r\r", []event{
			{"data: a\r\r", "-", "a"}, {"data: b\r\r", "-", "b"}}},
		"cr, then lf opens the next": {"data: a\r\r\ndata: b\n\n", []event{
			{"data: a\r\r", "-", "a"}, {"\ndata: b\n\n", "-", "b"}}},
		"mixed ends": {"event: x\rdata: a\ndata: b\r\n\n", []event{
			{"event: x\rdata: a\ndata: b\r\n\n", "x", "a\nb"}}},
		"three lines": {"data: a\ndata\ndata: c\n\ndata: d\ndata: e\n\n", []event{
			{"data: a\ndata\ndata: c\n\n", "-", "a\n\nc"}, {"data: d\ndata: e\n\n", "-", "d\ne"}}},
		"comment alone": {": ping\n\ndata: a\n\n", []event{
			{": ping\n\n", "-", "-"}, {"data: a\n\n", "-", "a"}}},
		"comment inside": {"data: a\n: no\ndata: b\n\n", []event{
			{"data: a\n: no\ndata: b\n\n", "-", "a\nb"}}},
		"other fields": {"id: 1\nretry: 5\ndatum: x\n data: y\ndata: a\n\n", []event{
			{"id: 1\nretry: 5\ndatum: x\n data: y\ndata: a\n\n", "-", "a"}}},
		"last event field": {"event: x\nevent: y\ndata: a\n\n", []event{
			{"event: x\nevent: y\ndata: a\n\n", "y", "a"}}},
		"empty values": {"event\ndata:\n\n", []event{{"event\ndata:\n\n", "", ""}}},
		"empty lines":  {"\n\ndata: a\n\n\n\n", []event{{"\n\ndata: a\n\n", "-", "a"}, {"\n\n", "-", "-"}}},
		"bom":          {"\ufeffdata: a\n\n\ufeffdata: b\n\n", []event{{"\ufeffdata: a\n\n", "-", "a"}, {"\ufeffdata: b\n\n", "-", "-"}}},
		"bom alone":    {"\ufeff", []event{{"\ufeff", "-", "-"}}},
		"no end":       {"data: a\n\ndata: b", []event{{"data: a\n\n", "-", "a"}, {"data: b", "-", "b"}}},
		"half an end":  {"data: b\n", []event{{"data: b\n", "-", "b"}}},
		"cr at the end": {"data: a\r\n\r", []event{
			{"data: a\r\n\r", "-", "a"}}},
		"json with colons": {"data: {\"a\":\"b: c\"}\n\n", []event{
			{"data: {\"a\":\"b: c\"}\n\n", "-", `{"a":"b: c"}`}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for how, src := range cuts(tt.in) {
				got, err := collect(src, DefaultMaxEvent)
				if err != io.EOF {
					t.Errorf("%s: got error %v, want EOF", how, err)
				}
				if d := cmp.Diff(tt.want, got); d != "" {
					t.Errorf("%s: (-want +got)\n%s", how, d)
				}
			}
		})
	}
}

// cuts are ways in which a network may deliver s.
func cuts(s string) map[string]io.Reader {
	return map[string]io.Reader{
		"whole":         strings.NewReader(s),
		"byte by byte":  iotest.OneByteReader(strings.NewReader(s)),
		"halves":        iotest.HalfReader(strings.NewReader(s)),
		"data with EOF": iotest.DataErrReader(strings.NewReader(s)),
	}
}

func TestReaderPromptness(t *testing.T) {
	// Each piece must give its event before the next piece comes.
	for _, pieces := range [][]string{
		{"data: a\n\n", "data: b\n\n"},
		{"data: a\r\n\r\n", "data: b\r\n\r\n"},
		{"data: a\r\r", "data: b\r\r"},
	} {
		src, w := io.Pipe()
		r := newReader()
		r.reset(src, DefaultMaxEvent)
		for _, piece := range pieces {
			written := make(chan error, 1)
			go func() { _, err := io.WriteString(w, piece); written <- err }()
			events, err := r.next()
			if err != nil || len(events) != 1 || string(events[0].Raw) != piece {
				t.Errorf("after %q: got %d events, error %v; want one", piece, len(events), err)
			}
			if err := <-written; err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestReaderSharesRead(t *testing.T) {
	r := newReader()
	r.reset(strings.NewReader("data: a\n\ndata: b\n\ndata: c"), DefaultMaxEvent)
	events, err := r.next()
	if err != nil || len(events) != 2 {
		t.Errorf("got %d events, error %v; want the 2 whole ones", len(events), err)
	}
}

func TestReaderLimit(t *testing.T) {
	long := "data: " + strings.Repeat("x", 1000) + "\n\n"
	got, err := collect(strings.NewReader("data: a\n\n"+long), 800)
	if err != ErrEventTooLarge || len(got) != 1 {
		t.Errorf("got %d events and error %v, want 1 and ErrEventTooLarge", len(got), err)
	}
	if got, err := collect(strings.NewReader(long), 1100); err != io.EOF || len(got) != 1 {
		t.Errorf("got %d events and error %v, want 1 and EOF", len(got), err)
	}
}

func TestReaderLongLine(t *testing.T) {
	const size = 32 << 20
	body := io.MultiReader(strings.NewReader("data: "), bytes.NewReader(bytes.Repeat([]byte("x"), size)), strings.NewReader("\n\n"))
	r := newReader()
	r.reset(body, DefaultMaxEvent)
	events, err := r.next()
	if err != nil || len(events) != 1 || len(events[0].Data) != size {
		t.Fatalf("got %d events, error %v; want one of %d bytes", len(events), err, size)
	}
	if r.reusable() {
		t.Errorf("a reader of %d bytes would be kept", cap(r.buf))
	}
}

func TestReaderBrokenSource(t *testing.T) {
	broken := errors.New("broken")
	got, err := collect(io.MultiReader(strings.NewReader("data: a\n\ndata: b\n"), iotest.ErrReader(broken)), DefaultMaxEvent)
	want := []event{{"data: a\n\n", "-", "a"}}
	if d := cmp.Diff(want, got); d != "" || err != broken {
		t.Errorf("error %v, want %v; events (-want +got)\n%s", err, broken, d)
	}
}

var lineEnds = regexp.MustCompile("\r\n|\n|\r")

// reference reads the events with data in the plainest way.
func reference(s string) []event {
	var list []event
	var kind, data []string
	emit := func() {
		if data != nil {
			list = append(list, event{Type: strings.Join(append([]string{"-"}, kind...)[len(kind):], ""), Data: strings.Join(data, "\n")})
		}
		kind, data = nil, nil
	}
	for _, line := range lineEnds.Split(strings.TrimPrefix(s, "\ufeff"), -1) {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			emit()
		case name == "data":
			data = append(data, value)
		case name == "event":
			kind = []string{value}
		}
	}
	emit()
	return list
}

// However the network cuts the bytes, the same events come out: those a plain
// reader finds, and no byte is lost.
func FuzzReader(f *testing.F) {
	f.Add([]byte("event: ping\ndata: {}\n\n"), uint8(1))
	f.Add([]byte("\xef\xbb\xbfdata: a\r\n\r\ndata: b\r\rdata: c\n\n: x\n\n"), uint8(3))
	f.Add([]byte("data: a\r\r\ndata: b\ndata: c\r\n\r"), uint8(2))
	f.Add([]byte("data\n\nevent:\r\n\r\n\n\n\rdata:x"), uint8(5))
	f.Fuzz(func(t *testing.T, body []byte, size uint8) {
		whole, err := collect(bytes.NewReader(body), DefaultMaxEvent)
		if err != io.EOF {
			t.Fatalf("got error %v, want EOF", err)
		}
		for how, src := range map[string]io.Reader{
			"byte by byte": iotest.OneByteReader(bytes.NewReader(body)),
			"pieces":       pieces{bytes.NewReader(body), int(size)%7 + 1},
		} {
			cut, err := collect(src, DefaultMaxEvent)
			if d := cmp.Diff(whole, cut); d != "" || err != io.EOF {
				t.Errorf("%s: error %v; (-whole +cut)\n%s", how, err, d)
			}
		}
		var raw strings.Builder
		var meant []event
		for _, e := range whole {
			raw.WriteString(e.Raw)
			if e.Data != "-" || bytes.Contains([]byte(e.Raw), []byte("data")) && hasDataDash(e.Raw) {
				meant = append(meant, event{Type: e.Type, Data: e.Data})
			}
		}
		if raw.String() != string(body) {
			t.Errorf("raw bytes: got %q, want %q", raw.String(), body)
		}
		if d := cmp.Diff(reference(string(body)), meant); d != "" {
			t.Errorf("events of %q (-want +got)\n%s", body, d)
		}
	})
}

// hasDataDash reports whether the data of raw really is a dash, which event
// cannot tell from none.
func hasDataDash(raw string) bool {
	list := reference(raw)
	return len(list) == 1 && list[0].Data == "-"
}

// pieces reads n bytes at a time.
type pieces struct {
	r io.Reader
	n int
}

func (p pieces) Read(b []byte) (int, error) { return p.r.Read(b[:min(len(b), p.n)]) }

func benchmarkStream() []byte {
	var b bytes.Buffer
	for i := range 50 {
		fmt.Fprintf(&b, "data: {\"id\":\"chatcmpl-%03d\",\"choices\":[{\"index\":0,\"delta\":{\"content\":%q}}]}\n\n", i, strings.Repeat("x", 130))
	}
	return b.Bytes()
}

func BenchmarkReader(b *testing.B) {
	body := benchmarkStream()
	for name, size := range map[string]int{"by event": len(body) / 50, "by 4 KB": 4096} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			src := bytes.NewReader(body)
			r := newReader()
			for b.Loop() {
				src.Reset(body)
				r.reset(pieces{src, size}, DefaultMaxEvent)
				for {
					if _, err := r.next(); err != nil {
						break
					}
				}
			}
		})
	}
}

func TestReaderAllocates(t *testing.T) {
	body := benchmarkStream()
	src := bytes.NewReader(body)
	cut := io.Reader(pieces{src, 300})
	r := newReader()
	got := testing.AllocsPerRun(20, func() {
		src.Reset(body)
		r.reset(cut, DefaultMaxEvent)
		for {
			if _, err := r.next(); err != nil {
				return
			}
		}
	})
	if got > 0 {
		t.Errorf("50 events: got %v allocations, want none", got)
	}
}
