// Package e2e tests the built gateway from outside. The tests with the vendors'
// Go libraries are in sdk; those with their JavaScript libraries are in node and
// need them installed, so they run only when asked for:
//
//	npm ci --prefix e2e/node
//	go test -tags node ./e2e
//
// All start their gateways with gatewaytest; transcript is a provider that plays
// a scripted conversation and judges what it is sent; clock measures promised
// times on a machine that may be busy.
package e2e
