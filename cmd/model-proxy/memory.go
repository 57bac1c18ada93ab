package main

import (
	"bufio"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"model-proxy/config"
)

// usableMemory is what this process may use, in bytes: the control group's
// limit, else the machine's memory; 0 if neither can be read.
func usableMemory() int64 {
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if b, err := os.ReadFile(file); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n < 1<<50 {
				return n
			}
		}
	}
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "MemTotal:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kb << 10
		}
	}
	return 0
}

// bodyMemory is MAX_BODY_MEMORY, a quarter of usable memory where it is not set.
func bodyMemory(set int64) int64 {
	if set > 0 {
		return set
	}
	return usableMemory() / 4
}

// tuneMemory trades memory for speed where the operator has not decided:
// collecting less often costs a fifth less processor time (docs/decisions), and
// the limit keeps that from ending in the kernel's hands.
func tuneMemory(env *config.Environment) {
	if _, ok := env.Lookup("GOGC"); !ok {
		debug.SetGCPercent(400)
	}
	if _, ok := env.Lookup("GOMEMLIMIT"); !ok {
		if m := usableMemory(); m > 0 {
			debug.SetMemoryLimit(m / 10 * 8)
		}
	}
}
