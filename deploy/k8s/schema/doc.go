// Package schema renders the manifests with kustomize's own library and holds
// every object against the types of the Kubernetes API. It is a module of its
// own, for those types are a large dependency that nothing else needs.
package schema
