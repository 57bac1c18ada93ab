//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// row is what is checked of a request's record.
type row struct {
	RequestID      string `json:"request_id"`
	Outcome        string `json:"outcome"`
	ConfigRevision string `json:"config_revision"`
}

// records waits until the number of rows stands still and compares them with
// what was sent.
func (f *fleet) records(ctx context.Context, l *load) error {
	t, err := f.settled(ctx, l)
	if err != nil {
		return err
	}
	t.compare(l)
	l.rows = fmt.Sprintf("%d rows for %d requests (%d had gone before they were admitted), %d revisions of the configuration",
		t.rows, l.sent.Load(), t.never, len(t.revisions))
	return nil
}

// compare notes every request that has not the one record it must have.
func (t *tally) compare(l *load) {
	for n, got := range t.outcomes {
		k := kinds[l.kind[n]]
		want := k.outcome[int(l.status[n])]
		switch {
		case got == nil && k.gone == goesBefore: // it may have gone before it was admitted
			t.never++
		case len(got) != 1 || got[0] != want:
			l.fault("request %d (%s, status %d): recorded as %q, want %q", n, k.name, l.status[n], got, want)
		}
	}
}

// tally is what the records hold.
type tally struct {
	outcomes  [][]string // by request
	revisions map[string]bool
	rows      int
	never     int // requests without a row that may have none
}

// settled reads the records until two readings a second apart are alike.
func (f *fleet) settled(ctx context.Context, l *load) (*tally, error) {
	for last := -1; ; {
		t, err := f.read(ctx, l)
		if err != nil || t.rows == last {
			return t, err
		}
		last = t.rows
		time.Sleep(2 * time.Second)
	}
}

// read prints all records with the gateway's own command and counts them.
func (f *fleet) read(ctx context.Context, l *load) (*tally, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(f.dir, "model-proxy"), "records", "--data", f.store, "--config", f.config(),
		"--format", "json", "--limit", strconv.Itoa(2*len(l.kind)))
	cmd.Dir = f.dir
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	t := &tally{outcomes: make([][]string, l.sent.Load()), revisions: map[string]bool{}}
	err = t.add(json.NewDecoder(out))
	return t, errors.Join(err, cmd.Wait())
}

func (t *tally) add(rows *json.Decoder) error {
	for {
		var r row
		switch err := rows.Decode(&r); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		n, err := strconv.Atoi(strings.TrimPrefix(r.RequestID, "soak-"))
		if err != nil || n < 0 || n >= len(t.outcomes) {
			return fmt.Errorf("a record of request %q, which nobody sent", r.RequestID)
		}
		t.rows++
		t.outcomes[n] = append(t.outcomes[n], r.Outcome)
		t.revisions[r.ConfigRevision] = true
	}
}

// report prints what the records held and what was wrong, and returns an error
// if anything was.
func (l *load) report(out io.Writer) error {
	fmt.Fprintln(out, l.rows)
	for _, text := range l.texts {
		fmt.Fprintln(out, text)
	}
	if l.faults > 0 {
		return fmt.Errorf("%d faults", l.faults)
	}
	return nil
}
