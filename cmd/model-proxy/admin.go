package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"model-proxy/ingress"
	"model-proxy/internal/llm"
	"model-proxy/logsink"
)

// adminUsage serves GET /admin/usage?by=&since=, the command usage over HTTP.
func (n *node) adminUsage(w http.ResponseWriter, r *http.Request) {
	n.ask(w, r, func(ctx context.Context, q url.Values) (*logsink.Rows, error) {
		by := "model"
		if q.Has("by") {
			by = q.Get("by")
		}
		since, err := moment(q.Get("since"), 24*time.Hour)
		if err != nil {
			return nil, err
		}
		return n.reader.Usage(ctx, fields(by), since)
	})
}

// mostRecords bounds an answer of /admin/records, which is put together in
// memory. The command records, a process of its own, has no such bound.
const mostRecords = 10_000

// adminRecords serves GET /admin/records?request_id=&attempts=1&since=&limit=,
// the command records over HTTP.
func (n *node) adminRecords(w http.ResponseWriter, r *http.Request) {
	n.ask(w, r, func(ctx context.Context, q url.Values) (*logsink.Rows, error) {
		f := logsink.Filter{RequestID: q.Get("request_id")}
		var err error
		if attempts := q.Get("attempts"); attempts != "" {
			if f.Attempts, err = strconv.ParseBool(attempts); err != nil {
				return nil, errBadQuery("attempts", "must be 1 or 0")
			}
		}
		if f.Since, err = moment(q.Get("since"), 0); err != nil {
			return nil, err
		}
		if limit := q.Get("limit"); limit != "" {
			if f.Limit, err = strconv.Atoi(limit); err != nil || f.Limit < 1 || f.Limit > mostRecords {
				return nil, errBadQuery("limit", fmt.Sprintf("must be a whole number from 1 to %d", mostRecords))
			}
		}
		return n.reader.Records(ctx, f)
	})
}

// adminKeys serves GET /admin/keys, the command keys list over HTTP.
func (n *node) adminKeys(w http.ResponseWriter, _ *http.Request) {
	if n.keys == nil {
		ingress.WriteError(w, llm.NewError(llm.Unavailable, "this process has no workers, which know the keys; 'model-proxy keys list' with NATS_URL shows them"))
		return
	}
	writeControl(w, list[keyRow]{keyRows(n.keys.List(time.Now(), n.source.Current()))})
}

// badQuery is a fault of a query's parameter.
type badQuery struct{ param, message string }

func errBadQuery(param, message string) error { return badQuery{param, message} }

func (e badQuery) Error() string { return e.param + " " + e.message }

// moment reads a length before now, such as 24h or 7d, or a moment in RFC 3339. An
// empty one means unless ago, where 0 means the beginning.
func moment(text string, unless time.Duration) (time.Time, error) {
	if text == "" {
		return age(unless).before(time.Now()), nil
	}
	if g, err := parseAge(text); err == nil {
		return g.before(time.Now()), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	return time.Time{}, errBadQuery("since", "must be a length such as 24h or 7d, or a moment such as 2026-01-31T00:00:00Z")
}

// ask answers a query as {"data":[…]}, with the objects that the commands print.
func (n *node) ask(w http.ResponseWriter, r *http.Request, query func(context.Context, url.Values) (*logsink.Rows, error)) {
	if n.reader == nil {
		ingress.WriteError(w, llm.NewError(llm.Unavailable, "this process keeps no records: set CLICKHOUSE_DSN to read those of the log sink"))
		return
	}
	rows, err := query(r.Context(), r.URL.Query())
	var objects bytes.Buffer
	if err == nil {
		err = logsink.Format(&objects, rows, "json")
	}
	var bad badQuery
	switch {
	case err == nil:
	case errors.As(err, &bad):
		e := llm.NewError(llm.BadRequest, bad.Error())
		e.Param = bad.param
		ingress.WriteError(w, e)
		return
	case errors.Is(err, logsink.ErrQuery):
		ingress.WriteError(w, llm.NewError(llm.BadRequest, err.Error()))
		return
	default:
		n.log.Error("query of the records", "path", r.URL.Path, "error", err)
		ingress.WriteError(w, llm.NewError(llm.ServerError, "the records cannot be read; the gateway's log says why"))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"data":[` + strings.ReplaceAll(strings.TrimSpace(objects.String()), "\n", ",") + "]}\n")) // a client that is gone needs no answer
}
