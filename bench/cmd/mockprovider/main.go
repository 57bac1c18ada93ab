// Command mockprovider is an upstream that answers like OpenAI's
// /v1/chat/completions and Anthropic's /v1/messages, made to cost as little as
// it can so that it does not blur what a gateway in front of it costs. It
// speaks HTTP/1.1 itself over net.Conn, and every answer is built beforehand.
// For faults and for tests there is model-proxy mock.
//
// Each streamed piece of text starts with a marker ~0001~, ~0002~, … and each
// plain answer holds one fixed text, so a client can tell whether a gateway
// lost, doubled or reordered anything.
//
// Behaviour comes from flags and from POST /_mock/config?chunks=50&delay=10ms&ttft=0
// for all later requests. GET /_mock/stats counts what happened since the start.
package main

import (
	"flag"
	"log"
	"net"
	"sync/atomic"
	"time"
)

// pace is how answers are timed.
type pace struct {
	Chunks int           `json:"chunks"`
	Delay  time.Duration `json:"delay_ns"` // between two chunks
	TTFT   time.Duration `json:"ttft_ns"`  // before the first chunk, or before a plain answer
}

// server is the upstream. Its counters may be read at any time.
type server struct {
	openAI, anthropic *api
	models            []byte // the answer to GET /v1/models

	pace atomic.Pointer[pace]

	requests, completed, cancelled, chunks atomic.Int64
}

func main() {
	var p pace
	listen := flag.String("listen", "127.0.0.1:9000", "address to listen on")
	model := flag.String("model", "gpt-4o-mini", "model name in the answers")
	flag.IntVar(&p.Chunks, "chunks", 50, "text chunks in a stream")
	flag.DurationVar(&p.Delay, "delay", 0, "time between two chunks")
	flag.DurationVar(&p.TTFT, "ttft", 0, "time before the first chunk, or before a plain answer")
	flag.Parse()
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	s := &server{openAI: newOpenAI(*model), anthropic: newAnthropic(), models: modelList(*model)}
	s.pace.Store(&p)
	log.Fatal(s.accept(ln))
}

// accept serves connections for ever; the process is ended by a signal.
func (s *server) accept(ln net.Listener) error {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		go s.serve(conn)
	}
}
