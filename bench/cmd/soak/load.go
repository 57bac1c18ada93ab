//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const clientKey = "soak-client-key"

// load sends requests at a constant rate and remembers what became of each.
type load struct {
	url    string
	client *http.Client

	// One place a request, written by the one that sends it.
	kind   []uint8
	status []int16 // that the client saw; 0: none

	sent, answered atomic.Int64

	mu     sync.Mutex // guards the rest
	faults int
	texts  []string // the first of them
	rows   string   // what the records held, for the report
}

func newLoad(url string, most int) *load {
	return &load{
		url:    url,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}},
		kind:   make([]uint8, most), status: make([]int16, most),
	}
}

// fault notes that something was not as it must be.
func (l *load) fault(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.faults++; len(l.texts) < 40 {
		l.texts = append(l.texts, time.Now().Format("15:04:05 ")+fmt.Sprintf(format, args...))
	}
}

// run sends until ctx ends, and returns when every answer has come.
func (l *load) run(ctx context.Context, rate int) {
	var all sync.WaitGroup
	defer all.Wait()
	cards := deal()
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for n := 0; n < len(l.kind); n++ {
		if n%len(cards) == 0 {
			rand.Shuffle(len(cards), func(i, j int) { cards[i], cards[j] = cards[j], cards[i] })
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l.kind[n] = uint8(cards[n%len(cards)])
		l.sent.Add(1)
		all.Go(func() {
			defer l.answered.Add(1)
			k := kinds[l.kind[n]]
			if err := l.send(n, k); err != nil {
				l.fault("request %d (%s): %v", n, k.name, err)
			}
		})
	}
}

func requestID(n int) string { return fmt.Sprintf("soak-%d", n) }

// send sends request n and says what is wrong with its answer.
func (l *load) send(n int, k kind) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if k.gone == goesBefore {
		ctx, cancel = context.WithTimeout(ctx, k.after)
		defer cancel()
	}
	word := fmt.Sprintf("word%d.", n) // what the answer must repeat
	prompt := strings.Repeat("padding ", k.padding/8) + word
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url+k.path, strings.NewReader(fmt.Sprintf(k.body, prompt)))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+clientKey)
	req.Header.Set("X-Request-Id", requestID(n))
	for name, value := range k.headers {
		req.Header.Set(name, value)
	}
	resp, err := l.client.Do(req)
	if k.gone == goesBefore {
		if err == nil {
			resp.Body.Close()
			return fmt.Errorf("status %d before the provider had said a word", resp.StatusCode)
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	l.status[n] = int16(resp.StatusCode)
	if got := resp.Header.Get("X-Request-Id"); got != requestID(n) {
		return fmt.Errorf("answered with request id %q", got)
	}
	return k.check(resp, word)
}

// check reads the answer and says what is wrong with it.
func (k kind) check(resp *http.Response, word string) error {
	if k.gone == goesLater && resp.StatusCode == http.StatusOK {
		_, err := io.CopyN(io.Discard, resp.Body, int64(k.bytes))
		return err
	}
	body, err := io.ReadAll(resp.Body)
	switch {
	case k.outcome[resp.StatusCode] == "":
		return fmt.Errorf("status %d: %.300s", resp.StatusCode, body)
	case err != nil:
		return fmt.Errorf("read: %w", err)
	case k.outcome[resp.StatusCode] == "incomplete":
		if !bytes.Contains(body, []byte(`"error"`)) {
			return fmt.Errorf("no error event at the end: %.300q", body[max(0, len(body)-300):])
		}
	case resp.StatusCode != http.StatusOK:
	case k.padding == 0 && !bytes.Contains(body, []byte(word)):
		return fmt.Errorf("not the answer to %s: %.300q", word, body)
	case !bytes.HasSuffix(body, []byte(k.end)):
		return fmt.Errorf("the stream has no end: %.300q", body[max(0, len(body)-300):])
	}
	return nil
}
