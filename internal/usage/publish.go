package usage

import "context"

// PublishFunc lets a function be a Publisher.
type PublishFunc func(id string, data []byte) (ack func(context.Context) error, err error)

// Publish calls f.
func (f PublishFunc) Publish(id string, data []byte) (Ack, error) { return f(id, data) }
