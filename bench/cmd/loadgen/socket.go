//go:build linux

package main

import (
	"slices"
	"syscall"
	"time"
	"unsafe"
)

// sysEpollPwait2 is epoll_pwait2(2), whose time-out is in nanoseconds; its number
// is the same on every port of Linux but alpha.
const sysEpollPwait2 = 441

// wait fills events with what has become readable within d.
func (l *load) wait(events []syscall.EpollEvent, d time.Duration) (int, error) {
	ts := syscall.NsecToTimespec(max(int64(d), 0))
	n, _, errno := syscall.Syscall6(sysEpollPwait2, uintptr(l.ep), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), uintptr(unsafe.Pointer(&ts)), 0, 0)
	if errno == syscall.EINTR {
		return 0, nil
	}
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// get returns the connection used last, which is the likeliest to be alive, or
// a new one; nil if there is none to be had.
func (l *load) get() *conn {
	if n := len(l.idle); n > 0 {
		c := l.idle[n-1]
		l.idle = l.idle[:n-1]
		return c
	}
	c, err := l.dial()
	if err != nil {
		l.fail("connect", err.Error())
		return nil
	}
	return c
}

// dial connects and has epoll watch the connection.
func (l *load) dial() (*conn, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := syscall.Connect(fd, &l.addr); err != nil {
		syscall.Close(fd)
		return nil, err
	}
	syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	syscall.SetNonblock(fd, true)
	ev := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP, Fd: int32(fd)}
	if err := syscall.EpollCtl(l.ep, syscall.EPOLL_CTL_ADD, fd, &ev); err != nil {
		syscall.Close(fd)
		return nil, err
	}
	c := &conn{fd: fd}
	l.conns[int32(fd)] = c
	return c, nil
}

// drop closes a connection and forgets it.
func (l *load) drop(c *conn) {
	delete(l.conns, int32(c.fd))
	syscall.Close(c.fd)
	if i := slices.Index(l.idle, c); i >= 0 {
		l.idle = slices.Delete(l.idle, i, i+1)
	}
}

// sendOn writes the request that was due at due. A server may just have closed
// an idle connection: like any client, it tries once more on a new one.
func (l *load) sendOn(c *conn, due time.Time) {
	if c == nil {
		return
	}
	c.begin(due)
	if !due.Before(l.measure) {
		l.sent++
	}
	for off := 0; off < len(l.req); {
		n, err := syscall.Write(c.fd, l.req[off:])
		if err == syscall.EAGAIN {
			time.Sleep(50 * time.Microsecond) // only for prompts larger than the socket's buffer
			continue
		}
		if err != nil {
			if c.used {
				l.drop(c)
				if c, err = l.dial(); err == nil {
					c.begin(due)
					off = 0
					continue
				}
			}
			l.finish(c, "write", err.Error())
			return
		}
		off += n
	}
}
