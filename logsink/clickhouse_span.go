package logsink

import (
	"fmt"
	"time"
)

// span is a time and the table that answers for it.
type span struct {
	hours, days bool // rollups; neither means rows
	where       string
}

// spans cuts the time since from into days, hours and what is left, so that each
// is asked of the coarsest table that knows it.
func spans(from time.Time, byHour bool) []span {
	if from.IsZero() {
		return []span{{days: !byHour, hours: byHour, where: "true"}}
	}
	hour := from.UTC().Truncate(time.Hour)
	if hour.Before(from) {
		hour = hour.Add(time.Hour)
	}
	day := hour.Truncate(24 * time.Hour)
	if day.Before(hour) {
		day = day.Add(24 * time.Hour)
	}
	list := []span{
		{where: fmt.Sprintf("job_id >= '%s' AND job_id < '%s' AND time >= fromUnixTimestamp64Micro(%d, 'UTC') AND time < toDateTime64(%d, 6, 'UTC')",
			firstJob(from), firstJob(hour.Add(2*time.Hour)), from.UnixMicro(), hour.Unix())},
	}
	if byHour {
		return append(list, span{hours: true, where: fmt.Sprintf("t >= toDateTime(%d, 'UTC')", hour.Unix())})
	}
	return append(list,
		span{hours: true, where: fmt.Sprintf("t >= toDateTime(%d, 'UTC') AND t < toDateTime(%d, 'UTC')", hour.Unix(), day.Unix())},
		span{days: true, where: fmt.Sprintf("t >= toDateTime(%d, 'UTC')", day.Unix())})
}

func (s span) rows() bool { return !s.days && !s.hours }

// table is the span's one of those by the hour, those by the day, and the rows.
func (s span) table(rollup string) string {
	switch {
	case s.days:
		return rollup + "_1d"
	case s.hours:
		return rollup + "_1h"
	}
	return "requests"
}

// rowsSince selects the rows since a time.
func rowsSince(from time.Time) string {
	if from.IsZero() {
		return "true"
	}
	return fmt.Sprintf("job_id >= '%s' AND time >= fromUnixTimestamp64Micro(%d, 'UTC')", firstJob(from), from.UnixMicro())
}
