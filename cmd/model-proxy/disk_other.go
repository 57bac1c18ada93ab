//go:build !unix

package main

import "errors"

// freeBytes is not known here.
func freeBytes(string) (int64, error) { return 0, errors.New("free space is not known on this system") }
