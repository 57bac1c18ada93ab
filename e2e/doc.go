// Package e2e tests the built gateway from outside. The tests with the vendors'
// Go libraries are in sdk; those with their JavaScript libraries are in node and
// need them installed, so they run only when asked for:
//
//	npm ci --prefix e2e/node
//	go test -tags node ./e2e
package e2e
