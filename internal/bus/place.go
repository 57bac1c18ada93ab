package bus

// place is where a job is, as its ingress knows.
type place int

const (
	placeHeld    place = iota // with the ingress, behind the gate
	placeQueued               // in the queue
	placeRunning              // with a worker
	placeAside                // waiting to be published again
	placeOver
)

// moveLocked notes that a job is somewhere else, and lets others in where it
// has left room.
func (c *Call) moveLocked(to place) {
	from := c.place
	if from == to {
		return
	}
	c.place = to
	t, g := c.tenant, c.in.gate
	switch from {
	case placeHeld:
		g.drop(c)
	case placeQueued:
		t.queued.Add(-1)
		t.line.queued.Add(-1)
	case placeRunning:
		c.seats.give()
		c.seats = nil
	}
	if to == placeQueued {
		t.queued.Add(1)
		t.line.queued.Add(1)
		return
	}
	g.ring()
}

// seatLocked notes that a worker has the job.
func (c *Call) seatLocked(worker string) {
	s := c.in.peers.beat(worker)
	if c.place != placeRunning {
		c.tenant.taken.Add(1)
		c.tenant.line.taken.Add(1)
		c.moveLocked(placeRunning)
	}
	if c.seats != s {
		c.seats.give()
		c.seats = s
		s.take()
	}
}

// letIn publishes held jobs as room is made for them.
func (i *Ingress) letIn(over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		case <-i.gate.wake:
		}
		for i.conn.Connected() {
			c := i.gate.next()
			if c == nil {
				break
			}
			c.mu.Lock()
			if c.place == placeHeld { // it may be cancelled by now
				c.publishLocked()
			}
			c.mu.Unlock()
		}
	}
}
