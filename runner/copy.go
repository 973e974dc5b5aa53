package main

import (
	"io"
	"os"
	"time"
)

// The copy of a log on the container's own output is for whoever looks with the cluster's tools. The
// kubelet turns its file over at 10 MB; one that is further behind than this leaves out the middle.
const copyBehindMax = 16 << 20

const copyWaitMax = time.Second

// Copies what a program writes to its file through to the container's output: a slow reader of that
// holds up neither program nor runner.
type logCopy struct {
	file   *os.File
	target *os.File
	offset int64
	stop   chan struct{}
	done   chan struct{}
}

func copyLog(path string, target *os.File) *logCopy {
	c := &logCopy{target: target, stop: make(chan struct{}), done: make(chan struct{})}
	file, err := os.Open(path)
	if err != nil {
		close(c.done)
		return c
	}
	c.file = file
	go c.loop()
	return c
}

func (c *logCopy) loop() {
	defer close(c.done)
	defer c.file.Close()
	buffer := make([]byte, 64<<10)
	wait := tick
	for isLast := false; !isLast; {
		select {
		case <-time.After(wait):
		case <-c.stop:
			isLast = true
		}
		before := c.offset
		if !c.advance(buffer) {
			return
		}
		// A program that says nothing is looked at less: there are many of them on a node.
		if wait *= 2; wait > copyWaitMax {
			wait = copyWaitMax
		}
		if c.offset > before {
			wait = tick
		}
	}
}

func (c *logCopy) advance(buffer []byte) bool {
	for {
		c.skip()
		n, err := c.file.ReadAt(buffer, c.offset)
		if n > 0 {
			if _, err := c.target.Write(buffer[:n]); err != nil {
				return false
			}
			c.offset += int64(n)
		}
		if err == io.EOF {
			return true
		}
		if err != nil {
			return false
		}
	}
}

func (c *logCopy) skip() {
	info, err := c.file.Stat()
	if err != nil || info.Size()-c.offset <= copyBehindMax {
		return
	}
	left := info.Size() - c.offset - copyBehindMax/2
	c.offset += left
	say("%d bytes of this log are left out here; the stored one is whole", left)
}

// Waits a moment for the last of it.
func (c *logCopy) finish(patience time.Duration) {
	close(c.stop)
	select {
	case <-c.done:
	case <-time.After(patience):
	}
}
