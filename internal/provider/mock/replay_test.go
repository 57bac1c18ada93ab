package mock_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"model-proxy/internal/provider/mock"
)

func TestReplay(t *testing.T) {
	const body = "data: {\"a\":1}\r\n\r\n: end"
	for name, chunking := range map[string]mock.Chunking{"nil": nil, "whole": mock.Whole, "threes": mock.Every(3), "too long": mock.Every(1000), "none": mock.Every(0)} {
		srv := httptest.NewServer(mock.Replay(418, http.Header{"x-thing": {"1"}}, []byte(body), chunking))
		t.Cleanup(srv.Close)
		resp := send(t, "POST", srv.URL, "")
		got, err := io.ReadAll(resp.Body)
		if resp.StatusCode != 418 || resp.Header.Get("X-Thing") != "1" || string(got) != body || err != nil {
			t.Errorf("%s: got %d, %v, %q, %v; want 418, X-Thing 1, %q", name, resp.StatusCode, resp.Header, got, err, body)
		}
	}
}
