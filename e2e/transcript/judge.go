package transcript

import (
	"fmt"
	"strings"
)

// turn is one turn of the assistant as a request tells it, with the results of
// its calls.
type turn struct {
	thinking []thought
	text     string
	calls    []call
	results  []result
}

type thought struct{ text, signature string }

type call struct{ id, name, arguments string }

type result struct {
	id, text string
	failed   bool
}

// rules are what a request is held to besides the rules of its protocol.
type rules struct {
	wire    wire
	numbers numbers
	// thinking must come back with every turn that had some; else it may be left
	// out, but never changed.
	remembers bool
}

// wire is what the judge needs to know of a protocol.
type wire struct {
	name string
	id   func(round, i int) string // of a call
	sign func(round int) string    // the signature of a round's thinking, "" if the protocol has none
}

// judge compares what a request tells of the conversation with the script and
// returns the number of the round that is due.
func (t *Transcript) judge(turns []turn, r rules) (int, error) {
	if len(turns) >= len(t.Rounds) {
		return 0, fmt.Errorf("the history has %d turns, the script ends after %d", len(turns), len(t.Rounds))
	}
	for n, got := range turns {
		if err := t.Rounds[n].judge(n, got, r); err != nil {
			return 0, fmt.Errorf("turn %d: %w", n, err)
		}
	}
	return len(turns), nil
}

func (want Round) judge(n int, got turn, r rules) error {
	if got.text != want.Text {
		return fmt.Errorf("the text came back as %q, it was %q", got.text, want.Text)
	}
	if err := want.judgeThinking(n, got.thinking, r); err != nil {
		return err
	}
	if len(got.calls) != len(want.Calls) || len(got.results) != len(want.Calls) {
		return fmt.Errorf("%d calls with %d results came back, there were %d", len(got.calls), len(got.results), len(want.Calls))
	}
	for i, c := range want.Calls {
		if err := c.judge(got.calls[i], got.results[i], r.numbers); err != nil {
			return fmt.Errorf("call %d: %w", i, err)
		}
		if id := r.wire.id(n, i); plainID(id) && got.calls[i].id != id {
			return fmt.Errorf("call %d came back with the id %q, it was %q", i, got.calls[i].id, id)
		}
	}
	return nil
}

func (want Round) judgeThinking(n int, got []thought, r rules) error {
	if len(got) == 0 && (want.Thinking == "" || !r.remembers) {
		return nil
	}
	if want := (thought{want.Thinking, r.wire.sign(n)}); len(got) != 1 || got[0] != want {
		return fmt.Errorf("the thinking came back as %q, it was %q", got, want)
	}
	return nil
}

func (want Call) judge(got call, res result, n numbers) error {
	if got.name != want.Name || !sameJSON(got.arguments, want.Arguments, n) {
		return fmt.Errorf("it came back as %s(%s), it was %s(%s)", got.name, got.arguments, want.Name, want.Arguments)
	}
	if res.id != got.id {
		return fmt.Errorf("its result has the id %q, the call has %q", res.id, got.id)
	}
	if !strings.Contains(res.text, want.Result) {
		return fmt.Errorf("its result is %q, want %q", res.text, want.Result)
	}
	if failed := res.failed || strings.HasPrefix(strings.ToLower(res.text), "error"); failed != want.Failed {
		return fmt.Errorf("its result %q shows failure: %v, want %v", res.text, failed, want.Failed)
	}
	return nil
}

// plainID reports whether every protocol takes the id as it is.
func plainID(id string) bool {
	return len(id) <= 40 && strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
}

// unknown names the first member that the protocol does not have.
func unknown(got map[string]any, known string) error {
	for name := range got {
		if !strings.Contains(" "+known+" ", " "+name+" ") {
			return fmt.Errorf("unknown field %q", name)
		}
	}
	return nil
}
