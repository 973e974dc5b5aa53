package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// The last of a log may take this long to the container's own output.
const copyPatience = 2 * time.Second

const fencedMeanwhile = "the attempt is not the task's any more"

// Before the KILL, to write the message in.
const messageMargin = 2 * time.Second

// Who wants the task to end. The first order counts for the program; a TERM counts for the pod, whose
// time is limited from then on.
type orders struct {
	lock      sync.Mutex
	first     string
	toProgram chan string
	any       chan struct{}
	term      chan struct{}
}

func newOrders() *orders {
	return &orders{toProgram: make(chan string, 1), any: make(chan struct{}), term: make(chan struct{})}
}

func (o *orders) end(order string) {
	o.lock.Lock()
	defer o.lock.Unlock()
	if o.first == "" {
		o.first = order
		o.toProgram <- order
		close(o.any)
	}
}

func (o *orders) why() string {
	o.lock.Lock()
	defer o.lock.Unlock()
	return o.first
}

func (o *orders) listen() {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-signals
		o.end(endByTerm)
		close(o.term)
	}()
}

// Cancelled by any order.
func (o *orders) beforeStart() (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-o.any:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// Cancelled when the pod's own end leaves just the time to say so.
func (o *orders) afterEnd(grace time.Duration) (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	if grace -= messageMargin; grace < 0 {
		grace = 0
	}
	go func() {
		select {
		case <-o.term:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(grace):
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

func run(c config) error {
	becomeSubreaper()
	a, err := newAPI(c)
	if err != nil {
		return err
	}
	orders := newOrders()
	orders.listen()
	r := &runner{config: c, api: a, orders: orders, usage: &usageNow{}}
	return r.run().write(c.message)
}

type runner struct {
	config config
	api    *api
	orders *orders
	usage  *usageNow
	link   *link
}

func (r *runner) message(kind, reason string) message {
	return message{Kind: kind, AttemptID: r.config.attemptID, Reason: reason}
}

func (r *runner) run() message {
	ctx, cancel := r.orders.beforeStart()
	defer cancel()
	var t task
	err := persist(ctx, "the task", func() error {
		t = task{}
		return r.api.exchange(ctx, http.MethodGet, "/task", nil, &t, answerWait)
	})
	if err != nil {
		return r.unstarted(err)
	}
	if r.config.nodeRank == 0 {
		stopLink := r.startLink()
		defer stopLink()
	}
	if err := r.prepare(ctx, &t); err != nil {
		return r.unstarted(err)
	}
	switch {
	case r.config.nodeRank > 0 && t.Gang == nil:
		return r.failed("its task has one node only")
	case r.config.nodeRank > 0:
		return r.serve(&t)
	case t.Gang != nil:
		if err := r.gather(ctx, &t); err != nil {
			return r.unstarted(err)
		}
	}
	return r.execute(&t)
}

func (r *runner) startLink() func() {
	ctx, cancel := context.WithCancel(context.Background())
	r.link = &link{api: r.api, folder: r.config.folder, usage: r.usage, end: r.orders.end}
	r.link.state.Store("staging")
	go r.link.loop(ctx)
	return cancel
}

func (r *runner) prepare(ctx context.Context, t *task) error {
	for _, name := range []string{"work", "scratch"} {
		if err := os.MkdirAll(filepath.Join(r.config.folder, name), 0o700); err != nil {
			return err
		}
	}
	return layIn(ctx, r.api, filepath.Join(r.config.folder, "work"), t.Inputs)
}

// Its program never started: nobody wants it any more, or it cannot be.
func (r *runner) unstarted(err error) message {
	var fenced fencedError
	if errors.As(err, &fenced) {
		return r.message("fenced", fenced.why)
	}
	switch r.orders.why() {
	case endByFence:
		return r.message("fenced", fencedMeanwhile)
	case endByCancel:
		return r.message("not_started", "cancelled before it started")
	case endByTerm:
		return r.message("not_started", "its pod was ended before it started")
	}
	return r.failed(err.Error())
}

func (r *runner) failed(why string) message {
	now := time.Now().UnixMilli()
	end := r.message("ended", "")
	end.Exit = &exitRecord{Error: oneLine(why), StartedAtMs: now, EndedAtMs: now}
	end.Artifacts = &[]artifact{}
	return end
}

func (r *runner) execute(t *task) message {
	stdout, err := openLog(r.config.folder, "stdout")
	if err != nil {
		return r.failed(err.Error())
	}
	stderr, err := openLog(r.config.folder, "stderr")
	if err != nil {
		return r.failed(err.Error())
	}
	copies := []*logCopy{copyLog(stdout.Name(), os.Stdout), copyLog(stderr.Name(), os.Stderr)}
	r.link.state.Store("running")
	record := newGuard(t, r.config, r.orders.toProgram, r.usage).run(stdout, stderr)
	stdout.Close()
	stderr.Close()
	if record.EndedBy == endByFence {
		return r.message("fenced", fencedMeanwhile)
	}
	end := r.message("ended", "")
	end.Exit = &record
	// Whatever ends the pod from here on, how the program ended is known.
	end.Unstored, end.IsCutOff = "the pod was killed before they were", true
	if err := end.write(r.config.message); err != nil {
		say("%v", err)
	}
	end.Unstored, end.IsCutOff = "", false
	r.link.state.Store("storing")
	ctx, cancel := r.orders.afterEnd(r.config.grace)
	defer cancel()
	end = collect(ctx, r.api, t, r.config.folder, end)
	for _, one := range copies {
		one.finish(copyPatience)
	}
	return end
}
