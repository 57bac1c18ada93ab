package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// A newcomer's one command prints keys and curl lines that work.
func TestDemo(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	out, w := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"run", "--demo", "--host", "127.0.0.1", "--port", "0", "--data", t.TempDir()}, []string{"HOME=" + t.TempDir()}, w, io.Discard)
		w.Close()
	}()
	var printed strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan() && !strings.Contains(printed.String(), "another terminal"); {
		printed.WriteString(lines.Text() + "\n")
	}
	var rest sync.WaitGroup
	rest.Go(func() { _, _ = io.Copy(io.Discard, out) }) // until the program ends
	t.Cleanup(rest.Wait)                                // by then its context has ended

	curl := regexp.MustCompile(`curl -sN? (http://\S+) -H '([^:]+): ([^']+)' -H 'Content-Type: application/json' -d '([^']+)'`)
	found := curl.FindAllStringSubmatch(printed.String(), -1)
	if len(found) != 2 {
		t.Fatalf("got %d curl lines, want 2 in:\n%s", len(found), printed.String())
	}
	for _, m := range found {
		body := send(t, http.MethodPost, m[1], m[2], m[3], m[4])
		if !strings.Contains(body, "You said: Hello!") && !strings.Contains(body, "message_stop") {
			t.Errorf("%s answered %s", m[1], body)
		}
	}
	console := regexp.MustCompile(`(http://\S+)/console \(admin key: (\S+)\)`).FindStringSubmatch(printed.String())
	if console == nil {
		t.Fatalf("no console and its key in:\n%s", printed.String())
	}
	if body := send(t, http.MethodGet, console[1]+"/admin/usage", "Authorization", console[2], ""); !strings.Contains(body, `{"data":[`) {
		t.Errorf("/admin/usage with the admin key answered %s", body)
	}
	stop()
	if c := <-code; c != exitOK {
		t.Errorf("exit code: got %d, want %d", c, exitOK)
	}
}

func send(t *testing.T, method, url, name, value, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(name, value)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// What the demo tells to type next is how it was called itself.
func TestAgain(t *testing.T) {
	for arg0, want := range map[string]string{"/tmp/go-build123/b001/exe/model-proxy": "go run ./cmd/model-proxy", "bin/model-proxy": "bin/model-proxy"} {
		if got := again(arg0); got != want {
			t.Errorf("%s: got %q, want %q", arg0, got, want)
		}
	}
}

// Who starts without any provider's key is told why there is nothing to call.
func TestNoModels(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	logs, w := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"run", "--host", "127.0.0.1", "--port", "0", "--data", t.TempDir()}, []string{"HOME=" + t.TempDir()}, io.Discard, w)
		w.Close()
	}()
	told := false
	for lines := bufio.NewScanner(logs); lines.Scan(); {
		told = told || strings.Contains(lines.Text(), "there is no model to serve")
		if strings.Contains(lines.Text(), "msg=listening") {
			stop()
		}
	}
	if c := <-code; c != exitOK || !told {
		t.Errorf("got exit code %d and told %v, want %d after a warning", c, told, exitOK)
	}
}
