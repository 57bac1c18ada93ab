package provider

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// Bounds of a file that a request names by its address.
const (
	MaxFile     = 20 << 20 // bytes
	fileTimeout = 10 * time.Second
)

// Reasons a file is not fetched. They may be shown to the client: none holds an
// address, and none tells what answers there and what does not.
var (
	ErrFileAddress = errors.New("only https addresses of the public internet are fetched")
	ErrFileAnswer  = errors.New("the address did not answer with the file")
	ErrFileSize    = errors.New("the file is larger than 20 MB")
	ErrFileType    = errors.New("the file is neither an image nor a PDF")
)

// fileTransport makes connections for FetchFile. It goes through no proxy, and
// looks at the very address it is about to connect to: what a name resolved to
// when it was first asked for says nothing about the second time.
func fileTransport(conf *tls.Config, reach func(netip.AddrPort) bool) *http.Transport {
	dialer := &net.Dialer{Timeout: fileTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		if at, err := netip.ParseAddrPort(address); err != nil || !reach(at) {
			return ErrFileAddress
		}
		return nil
	}}
	return &http.Transport{
		DialContext: dialer.DialContext, TLSClientConfig: conf, TLSHandshakeTimeout: fileTimeout, ForceAttemptHTTP2: true,
		MaxIdleConns:        64, // whoever names addresses chooses how many hosts there are
		MaxIdleConnsPerHost: 2, IdleConnTimeout: idleConnLimit, MaxResponseHeaderBytes: 64 << 10,
	}
}

// notPublic are the ranges of which netip.Addr has no word: of carriers, of
// documentation and benchmarks, reserved ones, and those that lead to IPv4
// addresses.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"), netip.MustParsePrefix("::/96"),
}

// public reports whether an address is the public internet's, at the port of
// https.
func public(at netip.AddrPort) bool {
	addr := at.Addr().Unmap()
	if at.Port() != 443 || !addr.IsGlobalUnicast() || addr.IsPrivate() || addr.Zone() != "" {
		return false
	}
	for _, p := range notPublic {
		if p.Contains(addr) {
			return false
		}
	}
	return true
}

// FetchFile gets an image or a PDF that a request names by its address: from the
// public internet by https, without following redirects, within 10 s, at most
// MaxFile bytes. The error is or wraps one of ErrFileAddress, ErrFileAnswer,
// ErrFileSize and ErrFileType.
func (c *Client) FetchFile(ctx context.Context, address string) (data []byte, mediaType string, err error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, "", ErrFileAddress
	}
	ctx, cancel := context.WithTimeout(ctx, fileTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, "", ErrFileAddress
	}
	req.Header = http.Header{"User-Agent": ownAgent, "Accept": {"image/*, application/pdf"}}
	resp, err := c.files.RoundTrip(req)
	if err != nil {
		if errors.Is(err, ErrFileAddress) {
			return nil, "", ErrFileAddress
		}
		return nil, "", fmt.Errorf("%w: %w", ErrFileAnswer, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, "", ErrFileAnswer
	}
	if resp.ContentLength > MaxFile {
		return nil, "", ErrFileSize
	}
	if data, err = io.ReadAll(io.LimitReader(resp.Body, MaxFile+1)); err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrFileAnswer, err)
	}
	if len(data) > MaxFile {
		return nil, "", ErrFileSize
	}
	mediaType = http.DetectContentType(data) // labels are often wrong
	if !strings.HasPrefix(mediaType, "image/") && mediaType != "application/pdf" {
		return nil, "", ErrFileType
	}
	return data, mediaType, nil
}
