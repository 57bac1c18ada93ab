package bus

import (
	"context"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// LogPublisher puts packed records on LOG under the process's own subject.
type LogPublisher struct {
	js      jetstream.JetStream
	nc      *nats.Conn
	subject string
}

// LogPublisher returns the publisher for the records of one process.
func (c *Conn) LogPublisher(process string) *LogPublisher {
	return &LogPublisher{js: c.js, nc: c.nc, subject: "log." + Token(process)}
}

// Publish hands a message over and returns how to wait for LOG's answer.
func (p *LogPublisher) Publish(id string, data []byte) (ack func(context.Context) error, err error) {
	if !p.nc.IsConnected() {
		return nil, nats.ErrDisconnected // not into the reconnect buffer: the spool is safer
	}
	f, err := p.js.PublishMsgAsync(&nats.Msg{Subject: p.subject, Data: data, Header: nats.Header{nats.MsgIdHdr: {id}}})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		select {
		case <-f.Ok():
			return nil
		case err := <-f.Err():
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}, nil
}
