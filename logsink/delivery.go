package logsink

import "context"

// delivery is a batch on its way into the store and off LOG.
type delivery struct {
	done chan struct{} // closed when it is over
	err  error         // set before
}

// deliver stores a batch, and then takes its messages off LOG and the jobs whose
// rows are in it out of the queue, in the background. The one before must be over.
func (r *run) deliver(ctx context.Context, b *batch) {
	d := &delivery{done: make(chan struct{})}
	buried := r.buried
	r.delivery, r.buried = d, nil
	go func() {
		defer close(d.done)
		if d.err = r.commit(ctx, b); d.err != nil {
			return
		}
		if len(buried) > 0 {
			r.queue.Remove(buried)
		}
		d.err = r.acknowledge(ctx, b.acks)
	}()
}

// delivered waits for the batch that is being delivered, if one is. The error
// is that of commit or of acknowledge.
func (r *run) delivered() error {
	if r.delivery == nil {
		return nil
	}
	<-r.delivery.done
	return r.delivery.err
}

// commit writes b, trying until it works. The error is errSuperseded or that of
// ctx, which has ended before.
func (r *run) commit(ctx context.Context, b *batch) error {
	defer r.drop()
	if b.empty() {
		return nil
	}
	var n written
	err := insist(ctx, r.log, "records not stored, trying again", func() (err error) {
		n, err = r.store.write(ctx, b)
		return err
	})
	if err != nil {
		return err
	}
	r.count(func(s *Stats) {
		s.Requests += int64(n.requests)
		s.Attempts += int64(n.attempts)
		s.Bodies += int64(n.bodies)
		s.Duplicates += int64(b.rows() - n.requests - n.attempts - n.bodies)
	})
	return nil
}

// acknowledge tells LOG that messages are stored, until LOG has heard it: what
// comes after may count on it. The error is that of ctx, which has ended before.
func (r *run) acknowledge(ctx context.Context, replies []string) error {
	for {
		err := r.source.Ack(ctx, replies)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.contact.lost(err)
		pause(ctx, firstRetry)
	}
}
