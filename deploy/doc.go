// Package deploy holds the files that run the gateway in production, beside
// the Dockerfile and the compose files at the root: configuration of NATS and
// ClickHouse, Kubernetes manifests, systemd units, alerts and dashboards. It has
// no code but its tests, which hold every flag, variable, port, path, user and
// metric named in those files, and in docs/operations.md, against the binary.
package deploy
