package main

import (
	"context"
	"io"
	"log/slog"
	"testing"
)

// The levels are ours and the predecessor's, in any case.
func TestLogLevels(t *testing.T) {
	for level, least := range map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError, "INFO": slog.LevelInfo,
		"trace": slog.LevelDebug, "warning": slog.LevelWarn, "critical": slog.LevelError, "Warning": slog.LevelWarn,
	} {
		log, err := newLogger(io.Discard, level, "text")
		if err != nil {
			t.Errorf("%s: %v", level, err)
			continue
		}
		if ctx := context.Background(); !log.Enabled(ctx, least) || log.Enabled(ctx, least-1) {
			t.Errorf("%s: want all from %v on", level, least)
		}
	}
	if _, err := newLogger(io.Discard, "loud", "text"); err == nil {
		t.Error("loud is taken for a level")
	}
}
