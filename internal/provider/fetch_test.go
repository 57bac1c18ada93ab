package provider

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func TestPublicAddresses(t *testing.T) {
	for address, want := range map[string]bool{
		"93.184.216.34:443": true, "[2606:2800:220:1::1]:443": true, "[::ffff:93.184.216.34]:443": true,
		"93.184.216.34:22": false, "127.0.0.1:443": false, "[::1]:443": false, "0.0.0.0:443": false, "[::]:443": false,
		"10.0.0.1:443": false, "172.16.0.1:443": false, "192.168.1.1:443": false, "169.254.169.254:443": false, "100.64.0.1:443": false,
		"[fe80::1]:443": false, "[fd00::1]:443": false, "[::ffff:127.0.0.1]:443": false, "[::ffff:10.0.0.1]:443": false, "[::127.0.0.1]:443": false,
		"[64:ff9b::7f00:1]:443": false, "[2002:7f00:1::]:443": false, "224.0.0.1:443": false, "255.255.255.255:443": false, "[ff02::1]:443": false,
	} {
		if got := public(netip.MustParseAddrPort(address)); got != want {
			t.Errorf("%s: got %v, want %v", address, got, want)
		}
	}
}

const png = "\x89PNG\x0d\x0a\x1a\x0a0123456789"

// fileServer serves a file, a page, a redirect and one file too many.
func fileServer(t *testing.T) *httptest.Server {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/image":
			w.Header().Set("Content-Type", "text/plain") // labels are often wrong
			_, _ = w.Write([]byte(png))
		case "/page":
			_, _ = w.Write([]byte("<html>secret</html>"))
		case "/elsewhere":
			http.Redirect(w, r, "/image", http.StatusFound)
		case "/large":
			for range MaxFile/(64<<10) + 2 {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return // the reader has had enough
				}
			}
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func TestFetchFile(t *testing.T) {
	s := fileServer(t)
	conf := s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	anywhere := New(Options{TLS: conf, Reach: func(netip.AddrPort) bool { return true }})
	defer anywhere.Close()
	data, kind, err := anywhere.FetchFile(t.Context(), s.URL+"/image")
	if string(data) != png || kind != "image/png" || err != nil {
		t.Errorf("got %q of the type %s, error %v; want the image", data, kind, err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx     context.Context
		address string
		want    error
	}{
		{t.Context(), s.URL + "/page", ErrFileType}, {t.Context(), s.URL + "/elsewhere", ErrFileAnswer}, {t.Context(), s.URL + "/none", ErrFileAnswer},
		{t.Context(), s.URL + "/large", ErrFileSize}, {gone, s.URL + "/image", ErrFileAnswer},
		{t.Context(), strings.Replace(s.URL, "https", "http", 1) + "/image", ErrFileAddress}, {t.Context(), "file:///etc/passwd", ErrFileAddress},
		{t.Context(), strings.Replace(s.URL, "https://", "https://a:b@", 1), ErrFileAddress}, {t.Context(), "https://", ErrFileAddress},
	} {
		if data, _, err := anywhere.FetchFile(c.ctx, c.address); !errors.Is(err, c.want) || data != nil {
			t.Errorf("%s: got %d bytes, error %v; want %v", c.address, len(data), err, c.want)
		}
	}
}

// Whatever a name resolves to, only public addresses are connected to.
func TestFetchFileGuards(t *testing.T) {
	s := fileServer(t)
	c := New(Options{TLS: &tls.Config{InsecureSkipVerify: true}})
	defer c.Close()
	for _, address := range []string{s.URL + "/image", strings.Replace(s.URL, "127.0.0.1", "localhost", 1) + "/image", "https://169.254.169.254/latest/meta-data"} {
		if _, _, err := c.FetchFile(t.Context(), address); !errors.Is(err, ErrFileAddress) {
			t.Errorf("%s: got error %v, want %v", address, err, ErrFileAddress)
		}
	}
}
