package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
)

var errBad = errors.New("malformed request")

// request is one request; its buffers are used again for the next.
type request struct {
	method, path string
	body         []byte
	close        bool

	length  int
	chunked bool
}

// serve answers a connection's requests one after the other.
func (s *server) serve(conn net.Conn) {
	defer conn.Close()
	br := bufio.NewReaderSize(conn, 8<<10)
	var r request
	for {
		if err := r.read(br, conn); err != nil {
			return
		}
		if !s.answer(conn, br, &r) || r.close {
			return
		}
	}
}

func (r *request) read(br *bufio.Reader, w io.Writer) error {
	*r = request{body: r.body[:0]}
	line, err := br.ReadString('\n')
	if err != nil {
		return err
	}
	parts := strings.Fields(line)
	if len(parts) != 3 {
		return errBad
	}
	r.method, r.path = parts[0], parts[1]
	for {
		line, err := br.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if err := r.header(line, w); err != nil {
			return err
		}
	}
	if r.chunked {
		return r.readChunked(br)
	}
	r.body = append(r.body, make([]byte, r.length)...)
	_, err = io.ReadFull(br, r.body)
	return err
}

// header looks at one line; only names of a length that matters, to stay cheap.
func (r *request) header(line []byte, w io.Writer) error {
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok {
		return errBad
	}
	value = bytes.TrimSpace(value)
	var err error
	switch len(name) {
	case len("Expect"):
		if bytes.EqualFold(name, []byte("Expect")) {
			_, err = io.WriteString(w, "HTTP/1.1 100 Continue\r\n\r\n")
		}
	case len("Connection"):
		r.close = r.close || bytes.EqualFold(name, []byte("Connection")) && bytes.EqualFold(value, []byte("close"))
	case len("Content-Length"):
		if bytes.EqualFold(name, []byte("Content-Length")) {
			r.length, err = strconv.Atoi(string(value))
		}
	case len("Transfer-Encoding"):
		r.chunked = r.chunked || bytes.EqualFold(name, []byte("Transfer-Encoding"))
	}
	return err
}

// readChunked reads a body without a length; trailers are not expected.
func (r *request) readChunked(br *bufio.Reader) error {
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return err
		}
		size, _, _ := strings.Cut(line, ";")
		n, err := strconv.ParseUint(strings.TrimSpace(size), 16, 31)
		if err != nil {
			return errBad
		}
		at := len(r.body)
		r.body = append(r.body, make([]byte, n+2)...)
		if _, err := io.ReadFull(br, r.body[at:]); err != nil {
			return err
		}
		r.body = r.body[:at+int(n)]
		if n == 0 {
			return nil
		}
	}
}
