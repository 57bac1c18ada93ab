package ingress

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"testing/synctest"

	"model-proxy/internal/llm"
)

// A body that was only announced keeps no room from others.
func TestRoomIsTakenForWhatHasCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const told, sent = 32 << 20, 300 << 10
		s := &Server{bodies: budget{limit: told}}
		body, client := io.Pipe()
		refused := make(chan *rejection)
		go func() {
			_, no := s.readSized(&http.Request{Body: body, ContentLength: told})
			refused <- no
		}()
		if _, err := client.Write(make([]byte, sent)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // for the rest, which does not come
		if got, most := s.bodies.held.Load(), int64(4*sent); got < sent || got > most {
			t.Errorf("%d bytes of room are held for %d that have come, want at most %d", got, sent, most)
		}
		client.CloseWithError(io.ErrUnexpectedEOF)
		if no := <-refused; no == nil || no.Kind != llm.BadRequest {
			t.Errorf("got %v, want a bad request", no)
		}
		if got := s.bodies.held.Load(); got != 0 {
			t.Errorf("%d bytes of room are held for a body that is gone", got)
		}
	})
}

func TestBodiesOfKnownLength(t *testing.T) {
	whole := make([]byte, 5<<20)
	for i := range whole {
		whole[i] = byte(i % 251)
	}
	for _, tt := range []struct {
		name      string
		told, got int64 // bytes
		limit     int64
		kind      llm.Kind // of the refusal, "" if there is none
	}{
		{"empty", 0, 0, 1, ""},
		{"small", 100, 100, 100, ""},
		{"first room exactly", firstRoom, firstRoom, firstRoom, ""},
		{"one byte more", firstRoom + 1, firstRoom + 1, 4 << 20, ""},
		{"several steps", 5 << 20, 5 << 20, 5 << 20, ""},
		{"no room at first", 100, 100, 99, llm.Unavailable},
		{"no room in the end", 5 << 20, 5 << 20, 5<<20 - 1, llm.Unavailable},
		{"short", 5 << 20, 5<<20 - 1, 5 << 20, llm.BadRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &Server{bodies: budget{limit: tt.limit}}
			body, no := s.readSized(&http.Request{Body: io.NopCloser(bytes.NewReader(whole[:tt.got])), ContentLength: tt.told})
			if tt.kind != "" {
				if no == nil || no.Kind != tt.kind {
					t.Errorf("got %v, want %s", no, tt.kind)
				}
				tt.told = 0
			} else if no != nil || !bytes.Equal(body, whole[:tt.told]) {
				t.Errorf("got %d bytes and %v, want the %d that were sent", len(body), no, tt.told)
			}
			if got := s.bodies.held.Load(); got != tt.told {
				t.Errorf("%d bytes of room are held, want %d", got, tt.told)
			}
		})
	}
}
