//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"model-proxy/bench/internal/hist"
	"model-proxy/bench/internal/procstat"
)

// result is what loadgen prints, as far as it is reported.
type result struct {
	OK         int64            `json:"ok"`
	Errors     map[string]int64 `json:"errors"`
	FirstError string           `json:"first_error"`
	RPS        float64          `json:"rps"`
	Latency    hist.Summary     `json:"latency"`
	TTFT       hist.Summary     `json:"ttft"`
	Watched    struct {
		CPUPer1000 float64 `json:"cpu_s_per_1000"`
		RSSMax     int64   `json:"rss_max"`
	} `json:"watched"`
}

// rounds are one scenario's results: by target, one for each round.
type rounds map[string][]result

// measure runs every scenario and round against every target.
func (f *fleet) measure(ctx context.Context, o options) (map[string]rounds, error) {
	all := map[string]rounds{}
	for round := range o.rounds {
		for _, s := range scenarios {
			if !o.wants(s) {
				continue
			}
			if all[s.name] == nil {
				all[s.name] = rounds{}
			}
			if err := f.setPace(ctx, s.pace); err != nil {
				return nil, err
			}
			targets := s.of(f.targets)
			for i := range targets {
				t := targets[(i+round)%len(targets)]
				r, err := f.load(ctx, s, t, o.duration)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", s.name, t.name, err)
				}
				if r.FirstError != "" {
					log.Printf("%s, %s: %s", s.name, t.name, r.FirstError)
				}
				all[s.name][t.name] = append(all[s.name][t.name], r)
			}
		}
	}
	return all, nil
}

// load runs one scenario against one target.
func (f *fleet) load(ctx context.Context, s scenario, t target, d time.Duration) (result, error) {
	e := endpoints[s.api]
	if t.model != "" {
		e.model = t.model
	}
	args := append(strings.Fields(s.args), "-duration", d.String(), "-api", s.api,
		"-url", t.url+e.path, "-model", e.model, "-H", "Authorization: Bearer "+clientKey)
	for _, pid := range t.pids {
		args = append(args, "-pid", strconv.Itoa(pid))
	}
	cmd := exec.CommandContext(ctx, f.bin+"/loadgen", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return result{}, fmt.Errorf("loadgen: %w", err)
	}
	var r result
	if err := json.Unmarshal(out, &r); err != nil {
		return result{}, fmt.Errorf("read loadgen's result: %w", err)
	}
	return r, f.settle(ctx, t.pids)
}

// settle waits until the target has done what an overload left it, 9 s at most.
func (f *fleet) settle(ctx context.Context, pids []int) error {
	busy := append([]int{f.mockPID}, pids...)
	for range 30 {
		before := procstat.Tree(busy...).CPU
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(300 * time.Millisecond):
		}
		if procstat.Tree(busy...).CPU-before <= 20*time.Millisecond {
			return nil
		}
	}
	return nil
}
