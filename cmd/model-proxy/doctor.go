package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"model-proxy/config"
	"model-proxy/ingress"
	"model-proxy/internal/bus"
	"model-proxy/logsink"
)

// Results of a check.
const (
	checkOK   = "ok"
	checkWarn = "warning"
	checkBad  = "broken"
)

// checkRow is what the doctor found at one place.
type checkRow struct {
	Check  string `json:"check"`
	Result string `json:"result"`
	Found  string `json:"found"`
	Mend   string `json:"mend,omitempty"` // what to do
}

// doctor examines the environment that `run` would meet with the same flags.
type doctor struct {
	*app
	flags flags
	env   *config.Environment
	snap  *config.Snapshot // nil if there is no usable configuration
}

func (a *app) doctorCommand() *cobra.Command {
	var f flags
	var form format
	cmd := &cobra.Command{Use: "doctor", Short: "Check configuration, keys, NATS, store, port and disk; exit 1 if one is broken",
		Long: `Check what 'run' would meet with the same flags: configuration, client keys,
provider keys, NATS, the store, the collector of traces, the port and the disk. Says what is wrong and
how to mend it; exit 1 if anything is broken. It changes nothing.`,
		Example: "  model-proxy doctor\n  model-proxy doctor --port 9000 --format json", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env, err := a.resolve(cmd, &f)
			if err != nil {
				return err
			}
			rows := (&doctor{app: a, flags: f, env: env}).examine(cmd.Context())
			if form == asJSON {
				err = printRows(a, form, rows, "", nil)
			} else {
				a.showChecks(rows)
			}
			broken := 0
			for _, r := range rows {
				if r.Result == checkBad {
					broken++
				}
			}
			if err == nil && broken > 0 {
				err = fmt.Errorf("%d of %d checks found something broken", broken, len(rows))
			}
			return err
		}}
	fs := cmd.Flags()
	f.addListen(fs)
	f.addConfig(fs)
	f.addData(fs)
	addFormat(fs, &form)
	return cmd
}

func (a *app) showChecks(rows []checkRow) {
	marks := map[string]string{checkOK: "✓", checkWarn: "!", checkBad: "✗"}
	for _, r := range rows {
		fmt.Fprintf(a.stdout, "%s %-13s %s\n", marks[r.Result], r.Check, r.Found)
		if r.Mend != "" {
			fmt.Fprintf(a.stdout, "  %-13s → %s\n", "", r.Mend)
		}
	}
}

// examine makes every check, in the order in which faults are best mended.
func (d *doctor) examine(ctx context.Context) []checkRow {
	rows := d.configuration()
	for _, check := range []func(context.Context) checkRow{d.clients, d.providers, d.prices, d.data, d.disk, d.store, d.nats, d.traces, d.port} {
		rows = append(rows, check(ctx))
	}
	return rows
}

// configuration reads the files as `run` does, and tells every problem.
func (d *doctor) configuration() []checkRow {
	const name = "configuration"
	snap, err := config.Load(d.options(&d.flags))
	if err != nil {
		return []checkRow{{name, checkBad, err.Error(), "mend the place it names; 'model-proxy config validate' checks again"}}
	}
	d.snap = snap
	var rows []checkRow
	for _, p := range snap.Problems {
		row := checkRow{name, checkBad, p.Error(), "mend the place it names: the file, or the value, is left out until then"}
		if p.Warning {
			row = checkRow{Check: name, Result: checkWarn, Found: p.Error()}
		}
		rows = append(rows, row)
	}
	if rows == nil {
		rows = []checkRow{{Check: name, Result: checkOK, Found: fmt.Sprintf("%d models, %d providers", len(snap.Models), len(snap.Providers))}}
	}
	return rows
}

func (d *doctor) clients(context.Context) checkRow {
	const name = "client keys"
	switch {
	case d.snap == nil:
		return checkRow{Check: name, Result: checkWarn, Found: "not checked: no configuration"}
	case len(d.snap.Clients) == 0:
		return checkRow{name, checkBad, "there is none: every API request will be answered 401", "set CLIENT_API_KEY, in .env for example"}
	}
	return checkRow{Check: name, Result: checkOK, Found: fmt.Sprintf("%d clients", len(d.snap.Clients))}
}

// prices looks for what 'prices verify' calls an error.
func (d *doctor) prices(context.Context) checkRow {
	const name = "prices"
	if d.snap == nil {
		return checkRow{Check: name, Result: checkWarn, Found: "not checked: no configuration"}
	}
	spoilt := 0
	for _, f := range verifyPrices(d.snap, "") {
		if f.Grade == findingError {
			spoilt++
		}
	}
	if spoilt > 0 {
		return checkRow{name, checkWarn, fmt.Sprintf("%d are missing or doubtful: such costs are null or wrong", spoilt), "'model-proxy prices verify' names them"}
	}
	return checkRow{Check: name, Result: checkOK, Found: "version " + d.snap.Prices.Version}
}

// providers looks for at least one model that can be served.
func (d *doctor) providers(context.Context) checkRow {
	const name = "provider keys"
	if d.snap == nil {
		return checkRow{Check: name, Result: checkWarn, Found: "not checked: no configuration"}
	}
	keys, usable := 0, 0
	for _, p := range d.snap.Providers {
		keys += len(p.Keys)
	}
	for _, m := range d.snap.Models {
		if m.Unusable == "" {
			usable++
		}
	}
	switch {
	case usable == 0:
		return checkRow{name, checkBad, fmt.Sprintf("%d keys, but no model has a route that can be used", keys),
			"add a key: 'model-proxy add key openai', or see it work without one: 'model-proxy run --demo'"}
	case usable < len(d.snap.Models):
		return checkRow{name, checkWarn, fmt.Sprintf("%d keys; %d of %d models can be served", keys, usable, len(d.snap.Models)),
			"'model-proxy models list' says why the others cannot"}
	}
	return checkRow{Check: name, Result: checkOK, Found: fmt.Sprintf("%d keys; all %d models can be served. 'model-proxy keys test PROVIDER' probes them", keys, usable)}
}

// data looks whether the directory of the gateway's files can be written.
func (d *doctor) data(context.Context) checkRow {
	const name = "data"
	dir := existing(d.flags.data)
	probe, err := os.CreateTemp(dir, ".model-proxy-doctor-")
	if err != nil {
		return checkRow{name, checkBad, fmt.Sprintf("%s cannot be written: %v", dir, err), "give it to the user who runs the gateway, or choose another --data"}
	}
	_ = probe.Close() // nothing was written
	if err := os.Remove(probe.Name()); err != nil {
		return checkRow{Check: name, Result: checkWarn, Found: err.Error()}
	}
	return checkRow{Check: name, Result: checkOK, Found: d.flags.data + " can be written"}
}

// existing is the directory itself, or the first above it that exists.
func existing(dir string) string {
	for {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			return dir
		}
		dir = up
	}
}

// Free bytes below which the disk is worth a word, and too little to run on.
const (
	littleDisk = 2 << 30
	noDisk     = 200 << 20
)

func (d *doctor) disk(context.Context) checkRow {
	const name = "disk"
	free, err := freeBytes(existing(d.flags.data))
	if err != nil {
		return checkRow{Check: name, Result: checkWarn, Found: "not checked: " + err.Error()}
	}
	found := fmt.Sprintf("%.1f GiB free", float64(free)/(1<<30))
	mend := "records and the spool of the queue grow there: make room or choose another --data"
	switch {
	case free < noDisk:
		return checkRow{name, checkBad, found, mend}
	case free < littleDisk:
		return checkRow{name, checkWarn, found, mend}
	}
	return checkRow{Check: name, Result: checkOK, Found: found}
}

// storeWithin bounds what is asked of ClickHouse.
const storeWithin = 10 * time.Second

// store looks whether the records can be read.
func (d *doctor) store(ctx context.Context) checkRow {
	const name = "store"
	if !d.env.Vars.ClickHouseDSN.IsZero() {
		return d.clickHouse(ctx)
	}
	reader, err := logsink.OpenReader(d.flags.data)
	if errors.Is(err, fs.ErrNotExist) {
		return checkRow{Check: name, Result: checkOK, Found: "SQLite, made by the first run"}
	}
	if err == nil {
		_, err = reader.Records(ctx, logsink.Filter{Limit: 1})
		err = errors.Join(err, reader.Close())
	}
	if err != nil {
		return checkRow{name, checkBad, "the SQLite file cannot be read: " + err.Error(), "move it away, or choose another --data"}
	}
	return checkRow{Check: name, Result: checkOK, Found: "SQLite can be read"}
}

// clickHouse looks whether the records in ClickHouse can be read.
func (d *doctor) clickHouse(ctx context.Context) checkRow {
	const name = "store"
	reader, err := logsink.OpenClickHouseReader(d.env.Vars.ClickHouseDSN.Reveal())
	if err != nil {
		return checkRow{name, checkBad, err.Error(), "correct CLICKHOUSE_DSN"}
	}
	ctx, stop := context.WithTimeout(ctx, storeWithin)
	defer stop()
	_, err = reader.Records(ctx, logsink.Filter{Limit: 1})
	err = errors.Join(err, reader.Close())
	switch {
	case errors.Is(err, logsink.ErrNoRecords):
		return checkRow{Check: name, Result: checkOK, Found: "ClickHouse answers; the first log sink makes the tables"}
	case errors.Is(err, logsink.ErrSchema):
		return checkRow{name, checkBad, err.Error(), "upgrade this model-proxy"}
	case err != nil:
		return checkRow{name, checkBad, "ClickHouse: " + err.Error(), "start the server, or correct CLICKHOUSE_DSN; records wait on LOG meanwhile"}
	}
	return checkRow{Check: name, Result: checkOK, Found: "ClickHouse can be read"}
}

// nats looks whether NATS_URL answers and has JetStream.
func (d *doctor) nats(ctx context.Context) checkRow {
	const name = "NATS"
	if d.env.Vars.NATSURL.IsZero() {
		return checkRow{Check: name, Result: checkOK, Found: "embedded: NATS_URL is not set"}
	}
	ctx, stop := context.WithTimeout(ctx, busWithin)
	defer stop()
	conn, err := bus.Connect(ctx, commandBus(d.env), "doctor")
	if err != nil {
		return checkRow{name, checkBad, err.Error(), "start the server, or correct NATS_URL and its credentials"}
	}
	defer conn.Close()
	info, err := conn.JetStream().AccountInfo(ctx)
	if err != nil {
		return checkRow{name, checkBad, "connected, but JetStream does not answer: " + err.Error(), "enable JetStream for this account (nats-server -js)"}
	}
	return checkRow{Check: name, Result: checkOK, Found: fmt.Sprintf("connected, JetStream has %d streams", info.Streams)}
}

// port looks whether the port is free, or a gateway's own.
func (d *doctor) port(ctx context.Context) checkRow {
	const name = "port"
	addr := net.JoinHostPort(d.flags.host, strconv.Itoa(d.flags.port))
	l, err := net.Listen("tcp", addr)
	if err == nil {
		_ = l.Close() // it was only a try
		return checkRow{Check: name, Result: checkOK, Found: addr + " is free"}
	}
	if gatewayAnswers(ctx, d.flags) {
		return checkRow{Check: name, Result: checkOK, Found: "a gateway runs on " + addr}
	}
	return checkRow{name, checkBad, err.Error(), "end what uses it, or choose another --port"}
}

// gatewayAnswers reports whether /health on the port is a gateway's.
func gatewayAnswers(ctx context.Context, f flags) bool {
	host := f.host
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	ctx, stop := context.WithTimeout(ctx, 2*time.Second)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, strconv.Itoa(f.port))+"/health", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	var h ingress.Health
	err = json.NewDecoder(io.LimitReader(resp.Body, 1<<10)).Decode(&h)
	return err == nil && h.Status != "" && resp.Header.Get("X-Request-Id") != ""
}
