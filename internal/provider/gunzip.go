package provider

import (
	"compress/gzip"
	"io"
	"net/http"
)

// plainBody is the body without the compression that no call asks for and some
// proxies before a provider apply all the same.
func plainBody(resp *http.Response) io.Reader {
	if resp.Header.Get("Content-Encoding") != "gzip" {
		return resp.Body
	}
	return &gunzip{compressed: resp.Body}
}

// gunzip reads what compressed holds. It waits for the first bytes only when
// it is read.
type gunzip struct {
	compressed io.Reader
	plain      *gzip.Reader // nil until the first read
}

func (g *gunzip) Read(p []byte) (int, error) {
	if g.plain == nil {
		plain, err := gzip.NewReader(g.compressed)
		if err != nil {
			return 0, err
		}
		g.plain = plain
	}
	return g.plain.Read(p)
}
