package usage

import (
	"fmt"
	"time"
)

// Time is a moment in microseconds since the Unix epoch. As text, in JSON and
// in SQLite it is RFC 3339 in UTC with six decimals, a form whose order as
// text is its order in time. The zero Time is the epoch and means "not known".
type Time int64

const timeLayout = "2006-01-02T15:04:05.000000Z"

// At returns t, cut to the microsecond.
func At(t time.Time) Time { return Time(t.UnixMicro()) }

// Time returns t in UTC.
func (t Time) Time() time.Time { return time.UnixMicro(int64(t)).UTC() }

func (t Time) String() string { return t.Time().Format(timeLayout) }

// MarshalText writes t as RFC 3339.
func (t Time) MarshalText() ([]byte, error) {
	return t.Time().AppendFormat(make([]byte, 0, len(timeLayout)), timeLayout), nil
}

// UnmarshalText reads any RFC 3339 time.
func (t *Time) UnmarshalText(text []byte) error {
	v, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		return fmt.Errorf("read time: %w", err)
	}
	*t = At(v)
	return nil
}
