package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// asker fills in what flags left out: by questions in a terminal, not at all
// elsewhere, where the missing flag is named.
type asker struct {
	in       *os.File
	out      io.Writer
	terminal bool
	lines    *bufio.Reader
}

func (a *app) asker() *asker {
	return &asker{in: a.stdin, out: a.stderr, terminal: term.IsTerminal(int(a.stdin.Fd())), lines: bufio.NewReader(a.stdin)}
}

// question is one value that a command needs.
type question struct {
	flag   string // that gives it without a question
	text   string
	preset string             // taken for an empty answer; "" means that there must be one
	check  func(string) error // nil accepts everything
}

// fill asks for a value that no flag gave. In a terminal it asks again until
// the answer passes the check.
func (k *asker) fill(value *string, q question) error {
	if *value != "" {
		return q.accepts(*value)
	}
	if !k.terminal {
		if q.preset == "" {
			return missingFlag(q.flag)
		}
		*value = q.preset
		return nil
	}
	for {
		answer, err := k.ask(q)
		if err != nil {
			return err
		}
		if err := q.accepts(answer); err != nil {
			fmt.Fprintf(k.out, "  %v\n", err)
			continue
		}
		*value = answer
		return nil
	}
}

func (q question) accepts(answer string) error {
	if answer == "" {
		return errors.New("an answer is needed")
	}
	if q.check == nil {
		return nil
	}
	if err := q.check(answer); err != nil {
		return usageError{fmt.Errorf("%s: %w", q.flag, err)}
	}
	return nil
}

// ask puts one question and reads one line.
func (k *asker) ask(q question) (string, error) {
	fmt.Fprint(k.out, q.text)
	if q.preset != "" {
		fmt.Fprintf(k.out, " [%s]", q.preset)
	}
	fmt.Fprint(k.out, ": ")
	line, err := k.lines.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("%s: the input ended", q.flag)
	}
	if line = strings.TrimSpace(line); line == "" {
		return q.preset, nil
	}
	return line, nil
}

// secret asks for a value that is not shown while it is typed.
func (k *asker) secret(q question) (string, error) {
	if !k.terminal {
		return "", missingFlag(q.flag)
	}
	fmt.Fprint(k.out, q.text+" (it is not shown): ")
	typed, err := term.ReadPassword(int(k.in.Fd()))
	fmt.Fprintln(k.out)
	if err != nil {
		return "", fmt.Errorf("%s: %w", q.flag, err)
	}
	return strings.TrimSpace(string(typed)), nil
}

func missingFlag(flag string) error {
	return usageError{fmt.Errorf("%s is missing, and there is no terminal to ask in", flag)}
}
