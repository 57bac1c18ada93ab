// Package freeport finds ports of the loopback interface that nobody listens on.
package freeport

import "net"

// Find returns n ports, each another one. Somebody else may take one before it
// is used; on a machine that measures nobody does.
func Find(n int) ([]string, error) {
	ports := make([]string, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all at the end, so that no port comes twice
		if _, ports[i], err = net.SplitHostPort(l.Addr().String()); err != nil {
			return nil, err
		}
	}
	return ports, nil
}
