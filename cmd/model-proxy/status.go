package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"model-proxy/config"
	"model-proxy/ingress"
)

// errUnhealthy ends status with exit code 1; the report has told why.
var errUnhealthy = errors.New("the gateway is unhealthy")

func (a *app) statusCommand() *cobra.Command {
	var f flags
	var form format
	var endpoint, key string
	var live bool
	cmd := &cobra.Command{Use: "status", Short: "Show how a running gateway is; exit 1 if it is unhealthy",
		Long: `Show how a running gateway is; exit 1 if it is unhealthy or not there. It is
asked over HTTP at --endpoint, else over NATS_URL, else by the control socket
under --data. Over HTTP the details need a key: --key, else ADMIN_API_KEY or
CLIENT_API_KEY. With --live only the one process at --endpoint is judged: a
container's health check asks an ingress on its port, a worker or log sink on
its --metrics-listen.`,
		Example: "  model-proxy status\n  model-proxy status --endpoint https://llm.example.com --format json", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env, snap, err := a.load(cmd, &f)
			if err != nil {
				return err
			}
			var report ingress.Report
			switch {
			case live && endpoint == "":
				return usageError{errors.New("--live needs --endpoint: the address of the one process to ask")}
			case live:
				report, err = askEndpoint(cmd.Context(), endpoint, "")
			case endpoint != "":
				report, err = askEndpoint(cmd.Context(), endpoint, anyKey(env, key))
			default:
				report, err = askRunning(cmd.Context(), env, snap, f.data)
			}
			if err != nil {
				return err
			}
			if form == asJSON {
				err = a.printJSON(report)
			} else {
				err = a.showReport(report)
			}
			if err == nil && report.Status == ingress.Unhealthy {
				err = errUnhealthy
			}
			return err
		}}
	fs := cmd.Flags()
	f.addConfig(fs)
	f.addData(fs)
	addFormat(fs, &form)
	fs.StringVar(&endpoint, "endpoint", "", "the gateway's address, such as http://localhost:8000")
	fs.StringVar(&key, "key", "", "client key or admin key for --endpoint")
	fs.BoolVar(&live, "live", false, "ask only whether the process at --endpoint serves")
	return cmd
}

// anyKey is a key that may see the details, "" if none is known.
func anyKey(env *config.Environment, given string) string {
	if given != "" {
		return given
	}
	for _, name := range []string{"ADMIN_API_KEY", "CLIENT_API_KEY", "CLIENT_API_KEY_1"} {
		if v, ok := env.Lookup(name); ok {
			return v
		}
	}
	return ""
}

func askRunning(ctx context.Context, env *config.Environment, snap *config.Snapshot, data string) (ingress.Report, error) {
	g, err := reach(ctx, env, snap, data)
	if errors.Is(err, errNoGateway) {
		return ingress.Report{}, fmt.Errorf("%w; its state is unknown (is --data its directory? --endpoint asks over HTTP)", err)
	}
	if err != nil {
		return ingress.Report{}, err
	}
	report, err := g.status(ctx)
	return report, errors.Join(err, g.Close())
}

// askEndpoint asks over HTTP: for everything with a key, else only whether it
// is there.
func askEndpoint(ctx context.Context, endpoint, key string) (ingress.Report, error) {
	path := "/health"
	if key != "" {
		path = "/health/detailed"
	}
	if !strings.Contains(endpoint, "://") {
		endpoint = "http://" + endpoint
	}
	url := strings.TrimRight(endpoint, "/") + path
	ctx, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return ingress.Report{}, usageError{fmt.Errorf("--endpoint: %w", err)}
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ingress.Report{}, fmt.Errorf("no answer: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return ingress.Report{}, fmt.Errorf("read the answer of %s: %w", url, err)
	}
	if resp.StatusCode == http.StatusUnauthorized {
		return ingress.Report{}, fmt.Errorf("%s does not accept the key; --key gives another", endpoint)
	}
	var r ingress.Report
	if json.Unmarshal(body, &r) != nil || r.Status == "" {
		return ingress.Report{}, fmt.Errorf("%s answered %d: not a health report; is it a model-proxy?", url, resp.StatusCode)
	}
	return r, nil
}

// marks make a report readable at a glance.
var marks = map[string]string{ingress.Healthy: "✓", ingress.Degraded: "!", ingress.Unhealthy: "✗"}

func (a *app) showReport(r ingress.Report) error {
	fmt.Fprintf(a.stdout, "%s %s", marks[r.Status], r.Status)
	if r.ConfigRevision != "" {
		fmt.Fprintf(a.stdout, ", configuration %s", r.ConfigRevision)
	}
	fmt.Fprintln(a.stdout)
	for _, name := range slices.Sorted(maps.Keys(r.Components)) {
		c := r.Components[name]
		fmt.Fprintln(a.stdout, strings.TrimRight(fmt.Sprintf("  %s %-10s %s", marks[c.Status], name, plain(c.Detail)), " "))
	}
	return nil
}

// plain shows a component's detail, whatever its shape, without JSON's marks.
func plain(detail any) string {
	if detail == nil {
		return ""
	}
	raw, err := json.Marshal(detail)
	if err != nil {
		return fmt.Sprint(detail)
	}
	var v any
	exact := json.NewDecoder(bytes.NewReader(raw))
	exact.UseNumber()
	_ = exact.Decode(&v) // it has just been written
	return words(v)
}

func words(v any) string {
	var parts []string
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if _, deep := v[name].(map[string]any); deep {
				parts = append(parts, name+" ("+words(v[name])+")")
				continue
			}
			parts = append(parts, strings.ReplaceAll(name, "_", " ")+": "+words(v[name]))
		}
	case []any:
		for _, one := range v {
			parts = append(parts, words(one))
		}
	default:
		return fmt.Sprint(v)
	}
	return strings.Join(parts, ", ")
}
