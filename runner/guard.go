package main

import (
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// The tree's memory is sampled this often at most, and never for more than 1 % of a core.
	tick    = 100 * time.Millisecond
	tickMax = 2 * time.Second
	// What a program left behind gets this long after TERM.
	leftoverGrace = 2 * time.Second
)

// How a program ended, with the fields of the local agent's exit record.
type exitRecord struct {
	ExitCode        *int   `json:"exitCode,omitempty"`
	Signal          *int   `json:"signal,omitempty"`
	Error           string `json:"error,omitempty"`
	EndedBy         string `json:"endedBy,omitempty"`
	IsOutOfMemory   bool   `json:"isOutOfMemory"`
	PeakMemoryBytes int64  `json:"peakMemoryBytes"`
	CPUTimeMs       int64  `json:"cpuTimeMs"`
	StartedAtMs     int64  `json:"startedAtMs"`
	EndedAtMs       int64  `json:"endedAtMs"`
	LeftoverCount   int    `json:"leftoverCount"`
}

// Who ordered an end. Of a user's cancel the control plane speaks; a TERM is the pod's own end.
const (
	endByCancel    = "cancel"
	endByTerm      = "term"
	endByFence     = "fence"
	endByTimeLimit = "time_limit"
	endByMemory    = "memory"
)

// What the program uses now, for the link.
type usageNow struct{ memoryBytes, peakMemoryBytes, reapedCPUUs atomic.Int64 }

// Guards one program from its start to the end of the last process that it left. Only the first
// thread of the runner does this; `ends` carries who wants it to end.
type guard struct {
	task                 *task
	folder               string
	env                  []string
	group                cgroup
	ends                 <-chan string
	usage                *usageNow
	childSignal          chan os.Signal
	child                int
	status               syscall.WaitStatus
	hasEnded             bool
	endedAt              time.Time
	endedBy              string
	cpuUs, peak, ownPeak int64
	// Told of each child that is no longer there.
	onReaped func(pid int, status syscall.WaitStatus)
	tick     time.Duration
}

func newGuard(t *task, c config, ends <-chan string, usage *usageNow) *guard {
	ofProcess, _ := os.ReadFile("/proc/self/cgroup")
	return &guard{
		task: t, folder: c.folder, ends: ends, usage: usage, tick: tick,
		env:         environment(t, c.folder, c.nodeRank),
		group:       findCgroup("/sys/fs/cgroup", string(ofProcess)),
		childSignal: make(chan os.Signal, 1),
	}
}

// Reaps everything that has ended; false once no descendant is left.
func (g *guard) reap() bool {
	for {
		var usage syscall.Rusage
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, &usage)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return false
		}
		if pid == 0 {
			return true
		}
		g.cpuUs += rusageUs(&usage)
		g.usage.reapedCPUUs.Store(g.cpuUs)
		g.raise(usage.Maxrss * 1024)
		if g.onReaped != nil {
			g.onReaped(pid, status)
		}
		if pid == g.child {
			g.status, g.hasEnded, g.endedAt = status, true, time.Now()
		}
	}
}

func (g *guard) raise(bytes int64) {
	if bytes > g.peak {
		g.peak = bytes
		g.usage.peakMemoryBytes.Store(bytes)
	}
}

func (g *guard) sample() {
	begunUs := ownCPUUs()
	harmless := g.peak
	if limit := g.task.MemoryBytes; limit > 0 && limit < harmless {
		harmless = limit
	}
	bytes := treeBytes(harmless)
	g.raise(bytes)
	g.usage.memoryBytes.Store(bytes)
	// Ends of the tree alone and keeps the log, where the kernel would end the runner with it.
	if g.task.MemoryBytes > 0 && bytes > g.task.MemoryBytes {
		g.endedBy = endByMemory
	}
	g.tick = time.Duration(ownCPUUs()-begunUs) * 100 * time.Microsecond
	if g.tick < tick {
		g.tick = tick
	}
	if g.tick > tickMax {
		g.tick = tickMax
	}
}

// Waits for the end of a child, an order or the time; answers the order.
func (g *guard) wait(limit time.Duration) string {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-g.childSignal:
	case order := <-g.ends:
		return order
	case <-timer.C:
	}
	return ""
}

// TERM to the tree, KILL after the grace, until nothing is left.
func (g *guard) endTree(grace time.Duration) {
	killAt := time.Now().Add(grace)
	if grace > 0 {
		signalTree(syscall.SIGTERM)
	}
	for g.reap() {
		left := time.Until(killAt)
		if left <= 0 {
			// Stopped first, a program that forks all the time does not outrun the second round.
			signalTree(syscall.SIGSTOP)
			signalTree(syscall.SIGKILL)
		}
		if left <= 0 || left > tick {
			left = tick
		}
		g.wait(left)
	}
}

func (g *guard) run(stdout, stderr *os.File) exitRecord {
	signal.Notify(g.childSignal, syscall.SIGCHLD)
	defer signal.Stop(g.childSignal)
	startedAt := time.Now()
	cpuUs, ownUs, oomKills := g.group.cpuUs(), ownCPUUs(), g.group.oomKills()
	pid, err := start(g.task.Argv, g.env, g.folder, stdout, stderr)
	if err != nil {
		atMs := startedAt.UnixMilli()
		return exitRecord{Error: err.Error(), StartedAtMs: atMs, EndedAtMs: atMs}
	}
	g.child = pid
	leftover := g.untilEnd(startedAt, stderr)
	record := exitRecord{
		EndedBy:         g.endedBy,
		IsOutOfMemory:   g.group.oomKills() > oomKills,
		PeakMemoryBytes: g.peak,
		CPUTimeMs:       g.cpuUs / 1000,
		StartedAtMs:     startedAt.UnixMilli(),
		EndedAtMs:       g.endedAt.UnixMilli(),
		LeftoverCount:   leftover,
	}
	g.readGroup(&record, cpuUs, ownUs)
	if g.status.Signaled() {
		number := int(g.status.Signal())
		record.Signal = &number
	} else {
		code := g.status.ExitStatus()
		record.ExitCode = &code
	}
	return record
}

// A group's own peak counts the page cache of files, which the kernel gives back under pressure; the
// sampled sum may count what is shared more than once. Both are upper bounds: the lower is told. Its
// processor time has what programs did whose own parents never asked, and the runner's beside.
func (g *guard) readGroup(record *exitRecord, cpuUs, ownUs int64) {
	if !g.group.exists() {
		return
	}
	if peak := g.group.peakBytes(); peak > 0 && peak < record.PeakMemoryBytes {
		record.PeakMemoryBytes = peak
	}
	used := g.group.cpuUs() - cpuUs - (ownCPUUs() - ownUs)
	if used/1000 > record.CPUTimeMs {
		record.CPUTimeMs = used / 1000
	}
}

// Answers how many processes the program left behind when it ended by itself.
func (g *guard) untilEnd(startedAt time.Time, stderr *os.File) int {
	grace := time.Duration(g.task.GraceMs) * time.Millisecond
	limit := time.Duration(g.task.TimeLimitMs) * time.Millisecond
	sampleAt := startedAt.Add(tick)
	order := ""
	isAnyLeft := g.reap()
	for ; !g.hasEnded; isAnyLeft = g.reap() {
		now := time.Now()
		g.endedBy = order
		if !now.Before(sampleAt) {
			g.sample()
			sampleAt = time.Now().Add(g.tick)
		}
		if limit > 0 && now.Sub(startedAt) >= limit && g.endedBy == "" {
			g.endedBy = endByTimeLimit
		}
		if g.endedBy != "" {
			g.end(grace, stderr)
			return 0
		}
		wake := time.Until(sampleAt)
		if untilLimit := limit - now.Sub(startedAt); limit > 0 && untilLimit < wake {
			wake = untilLimit
		}
		order = g.wait(wake)
	}
	if !isAnyLeft {
		return 0
	}
	leftover := len(findTree())
	if grace > leftoverGrace {
		grace = leftoverGrace
	}
	g.endTree(grace)
	return leftover
}

func (g *guard) end(grace time.Duration, stderr *os.File) {
	switch g.endedBy {
	case endByMemory:
		grace = 0
	case endByTerm:
		g.runCheckpoint(stderr)
	}
	g.endTree(grace)
	if !g.hasEnded {
		g.endedAt = time.Now()
	}
}

// Gives the checkpoint its time while the program still runs. What it says goes to the task's errors.
func (g *guard) runCheckpoint(stderr *os.File) {
	hook := g.task.Checkpoint
	if hook == nil || len(hook.Argv) == 0 {
		return
	}
	env := append(append([]string{}, g.env...), "MAJORANA_PROGRAM_PID="+itoa(g.child))
	pid, err := start(hook.Argv, env, g.folder, stderr, stderr)
	if err != nil {
		say("the checkpoint could not start: %v", err)
		return
	}
	deadline := time.Now().Add(time.Duration(hook.TimeMs) * time.Millisecond)
	for isChild(pid) && !g.hasEnded && time.Now().Before(deadline) {
		wait := time.Until(deadline)
		if wait > tick {
			wait = tick
		}
		g.wait(wait)
		g.reap()
	}
}

func isChild(pid int) bool { return parentOf(pid) == os.Getpid() }

func openLog(folder, name string) (*os.File, error) {
	return os.OpenFile(filepath.Join(folder, name), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
}
