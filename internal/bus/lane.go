package bus

import "strings"

// Lanes, the third field of a job's subject. A worker spends its slots on them
// as 8 : 4 : 1 while all have work.
const (
	LaneHigh   = "high"
	LaneNormal = "normal"
	LaneLow    = "low"

	// DefaultPool and DefaultLane are where jobs go that name no other.
	DefaultPool = "default"
	DefaultLane = LaneNormal
)

// lanes are all lanes there are, the heaviest first.
var lanes = [...]struct {
	name   string
	weight int
}{{LaneHigh, 8}, {LaneNormal, 4}, {LaneLow, 1}}

// LaneOf is the lane that a request gets: the one it asks for, wanted, or the
// client's own if it asks for none ("") — but none above limit, where limit is
// not "". It is false if wanted is no lane.
func LaneOf(wanted, own, limit string) (lane string, ok bool) {
	if wanted == "" {
		wanted = own
	}
	at := -1
	for n, l := range lanes {
		if l.name == wanted {
			at = n
		}
		if l.name == limit && at >= 0 { // wanted stands before it, or is it
			at = n
		}
	}
	if at < 0 {
		return "", false
	}
	return lanes[at].name, true
}

// laneOf is the lane in a job's subject.
func laneOf(subject string) string {
	_, rest, _ := strings.Cut(subject, ".")
	_, rest, _ = strings.Cut(rest, ".")
	lane, _, _ := strings.Cut(rest, ".")
	return lane
}
