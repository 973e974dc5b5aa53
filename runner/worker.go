package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// A node of a gang beside the head: it starts what launchers ask for. Only the first thread forks and
// reaps, as in a guard; a launch has goroutines for its streams alone.
type worker struct {
	*runner
	task     *task
	env      []string
	launches chan *launched
	running  map[int]*launched
	usage    *guard
}

// One command of a launcher.
type launched struct {
	frames  *frames
	command string
	input   *os.File
	// Closed when its input and its process are known.
	begun chan struct{}
	ended chan launchEnd
	// Both streams are at their end.
	copied chan struct{}
	pid    int
}

func (r *runner) serve(t *task) message {
	if err := linkLauncher(r.config.folder); err != nil {
		return r.failed(err.Error())
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(r.config.address, "0"))
	if err != nil {
		return r.failed(err.Error())
	}
	defer listener.Close()
	w := &worker{
		runner: r, task: t,
		env:      environment(t, r.config.folder, r.config.nodeRank),
		launches: make(chan *launched),
		running:  map[int]*launched{},
		usage:    newGuard(t, r.config, r.orders.toProgram, r.usage),
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go w.listen(ctx, listener)
	go w.sayAddress(ctx, listener.Addr().String())
	return w.untilOrdered()
}

func (w *worker) listen(ctx context.Context, listener net.Listener) {
	key := gangKey(w.config.token)
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			if demandProof(conn, key) {
				w.attend(ctx, &frames{conn: conn})
			}
		}()
	}
}

// Serves one launcher to the end of its command; a launcher that is gone takes its command with it.
func (w *worker) attend(ctx context.Context, f *frames) {
	kind, data, err := f.receive()
	if err != nil || kind != frameCommand {
		return
	}
	one := &launched{frames: f, command: string(data), begun: make(chan struct{}), ended: make(chan launchEnd, 1), copied: make(chan struct{}, 2)}
	select {
	case w.launches <- one:
	case <-ctx.Done():
		return
	}
	<-one.begun
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		one.obey()
	}()
	var end launchEnd
	select {
	case end = <-one.ended:
	case <-gone:
		one.endTree(time.Duration(w.task.GraceMs) * time.Millisecond)
		return
	case <-ctx.Done():
		return
	}
	for i := 0; i < 2 && end.Error == ""; i++ {
		select {
		case <-one.copied:
		case <-time.After(copyPatience):
			// What the command left behind holds its output open.
		}
	}
	if text, err := json.Marshal(end); err == nil {
		f.send(frameEnd, text)
	}
}

// What the launcher sends, to its end.
func (l *launched) obey() {
	for {
		kind, data, err := l.frames.receive()
		if err != nil {
			return
		}
		switch {
		case kind == frameInput && l.input != nil:
			l.input.Write(data)
		case kind == frameInputEnd && l.input != nil:
			l.input.Close()
		case kind == frameSignal && len(data) == 1:
			signalSubtree(l.pid, syscall.Signal(data[0]))
		}
	}
}

func (l *launched) endTree(grace time.Duration) {
	signalSubtree(l.pid, syscall.SIGTERM)
	for deadline := time.Now().Add(grace); time.Now().Before(deadline) && isAlive(l.pid); {
		time.Sleep(tick)
	}
	signalSubtree(l.pid, syscall.SIGKILL)
}

// By the first thread.
func (w *worker) begin(one *launched) {
	defer close(one.begun)
	inputEnd, input, err := os.Pipe()
	if err != nil {
		one.ended <- launchEnd{Error: err.Error()}
		return
	}
	defer inputEnd.Close()
	one.input = input
	stdout, err := one.stream(frameOutput)
	if err == nil {
		defer stdout.Close()
		var stderr *os.File
		if stderr, err = one.stream(frameErrors); err == nil {
			defer stderr.Close()
			argv := []string{"/bin/sh", "-c", one.command}
			one.pid, err = startWith(argv, w.env, w.config.folder, inputEnd, stdout, stderr)
		}
	}
	if err != nil {
		one.ended <- launchEnd{Error: err.Error()}
		return
	}
	w.running[one.pid] = one
}

// A pipe whose other end is sent on.
func (l *launched) stream(kind byte) (*os.File, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	go func() {
		defer reader.Close()
		io.Copy(frameWriter{l.frames, kind}, reader)
		l.copied <- struct{}{}
	}()
	return writer, nil
}

func (w *worker) reaped(pid int, status syscall.WaitStatus) {
	one, found := w.running[pid]
	if !found {
		return
	}
	delete(w.running, pid)
	one.input.Close()
	if status.Signaled() {
		one.ended <- launchEnd{Signal: int(status.Signal())}
	} else {
		one.ended <- launchEnd{ExitCode: status.ExitStatus()}
	}
}

func (w *worker) untilOrdered() message {
	guard := w.usage
	signal.Notify(guard.childSignal, syscall.SIGCHLD)
	defer signal.Stop(guard.childSignal)
	guard.onReaped = w.reaped
	startedAt, oomKills := time.Now(), guard.group.oomKills()
	timer := time.NewTimer(tick)
	defer timer.Stop()
	for guard.endedBy == "" {
		select {
		case <-guard.childSignal:
		case one := <-w.launches:
			w.begin(one)
		case guard.endedBy = <-guard.ends:
		case <-timer.C:
			guard.sample()
			timer.Reset(guard.tick)
		}
		guard.reap()
		if guard.group.oomKills() > oomKills {
			guard.endedBy = endByMemory
		}
	}
	return w.lastWord(startedAt)
}

func (w *worker) lastWord(startedAt time.Time) message {
	guard := w.usage
	grace := time.Duration(w.task.GraceMs) * time.Millisecond
	if guard.endedBy == endByMemory {
		grace = 0
	}
	guard.endTree(grace)
	switch guard.endedBy {
	case endByFence:
		return w.message("fenced", fencedMeanwhile)
	case endByMemory:
		killed := int(syscall.SIGKILL)
		end := w.message("ended", "")
		end.Artifacts = &[]artifact{}
		end.Exit = &exitRecord{
			Signal: &killed, EndedBy: endByMemory, IsOutOfMemory: true,
			PeakMemoryBytes: guard.peak, CPUTimeMs: guard.cpuUs / 1000,
			StartedAtMs: startedAt.UnixMilli(), EndedAtMs: time.Now().UnixMilli(),
		}
		return end
	}
	return w.message("not_started", "its pod was ended")
}

func isAlive(pid int) bool { return pid > 0 && !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
