//go:build linux

// Command loadgen loads one chat endpoint and checks every answer.
//
//	-mode open    sends at a constant rate whatever the server does; latency
//	              counts from the time the request was due, so a stall is
//	              charged to every request it held up (no coordinated omission)
//	-mode closed  keeps -conns requests under way
//
// One thread drives all connections from an epoll loop, so the tool takes
// little of the processor and its clock readings do not wait for a scheduler.
// Answers must come from mockprovider: the texts are known and each streamed
// piece is numbered. The result is one JSON object on standard output.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// options are the command line.
type options struct {
	url, api, mode, model    string
	stream                   bool
	rate                     float64
	conns, chunks, bodyBytes int
	duration, warmup, ramp   time.Duration
	timeout                  time.Duration
	headers                  []string
	pids                     []int
}

func main() {
	log.SetFlags(0)
	o := parse()
	l, err := newLoad(o)
	if err != nil {
		log.Fatal(err)
	}
	runtime.LockOSThread()
	if err := l.run(); err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(l.result()); err != nil {
		log.Fatal(err)
	}
}

func parse() options {
	var o options
	flag.StringVar(&o.url, "url", "http://127.0.0.1:9000/v1/chat/completions", "endpoint")
	flag.StringVar(&o.api, "api", "openai", "openai or anthropic: the request's shape and how its stream ends")
	flag.StringVar(&o.mode, "mode", "closed", "open or closed")
	flag.StringVar(&o.model, "model", "gpt-4o-mini", "model to ask for")
	flag.BoolVar(&o.stream, "stream", false, "ask for a stream")
	flag.Float64Var(&o.rate, "rate", 200, "open: requests a second")
	flag.IntVar(&o.conns, "conns", 64, "closed: connections; open: the most connections")
	flag.IntVar(&o.chunks, "chunks", 50, "pieces of text each stream must hold")
	flag.IntVar(&o.bodyBytes, "body-bytes", 1024, "size of the prompt")
	flag.DurationVar(&o.duration, "duration", 10*time.Second, "how long to measure")
	flag.DurationVar(&o.warmup, "warmup", 2*time.Second, "load before the measuring starts")
	flag.DurationVar(&o.ramp, "ramp", 0, "closed: spread the first requests over this time")
	flag.DurationVar(&o.timeout, "timeout", 30*time.Second, "for one request")
	flag.Func("H", "header `Name: value`, may be repeated", func(s string) error {
		o.headers = append(o.headers, s)
		return nil
	})
	flag.Func("pid", "`pids` to watch with their children, separated by commas", func(s string) error {
		for _, f := range strings.Split(s, ",") {
			n, err := strconv.Atoi(f)
			if err != nil {
				return err
			}
			o.pids = append(o.pids, n)
		}
		return nil
	})
	flag.Parse()
	return o
}

// prompt is repeated up to -body-bytes.
const prompt = "You are a careful assistant who answers briefly. Tell me how a gateway in front of several providers should treat a slow client, a provider that fails half way, and a budget that runs out. "

// request builds the bytes of the one request that is sent over and over, and
// finds the address to send it to.
func (o *options) request() ([]byte, [4]byte, int, error) {
	var ip [4]byte
	u, err := url.Parse(o.url)
	if err != nil {
		return nil, ip, 0, err
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil || u.Scheme != "http" {
		return nil, ip, 0, fmt.Errorf("%s: want http://a.b.c.d:port/path", o.url)
	}
	if n, err := fmt.Sscanf(u.Hostname(), "%d.%d.%d.%d", &ip[0], &ip[1], &ip[2], &ip[3]); n != 4 {
		return nil, ip, 0, fmt.Errorf("%s: %v", u.Hostname(), err)
	}
	text := strings.Repeat(prompt, o.bodyBytes/len(prompt)+1)[:o.bodyBytes]
	body := map[string]any{
		"model": o.model, "max_tokens": 256, "temperature": 0.7,
		"messages": []map[string]string{{"role": "user", "content": text}},
	}
	if o.stream {
		body["stream"] = true
	}
	b, err := json.Marshal(body)
	if err != nil {
		return nil, ip, 0, err
	}
	var sb strings.Builder
	fmt.Fprintf(&sb, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nAccept: */*\r\nUser-Agent: loadgen\r\n", u.RequestURI(), u.Host)
	for _, h := range o.headers {
		sb.WriteString(h + "\r\n")
	}
	fmt.Fprintf(&sb, "Content-Length: %d\r\n\r\n%s", len(b), b)
	return []byte(sb.String()), ip, port, nil
}
