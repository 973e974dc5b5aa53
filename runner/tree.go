package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

const (
	prSetChildSubreaper = 36
	// The same on every architecture.
	sysPidfdSendSignal = 424
	sysPidfdOpen       = 434
)

var pageBytes = int64(os.Getpagesize())

// The runner is the subreaper of what it starts, so nothing escapes it, in a pod as process 1 or not.
func becomeSubreaper() {
	syscall.RawSyscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0)
}

type member struct{ pid, parent int }

func children(parent int) []member {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", parent))
	if err != nil {
		return nil
	}
	var found []member
	for _, thread := range tasks {
		found = append(found, childrenOfThread(parent, thread.Name())...)
	}
	return found
}

func childrenOfThread(parent int, thread string) []member {
	var found []member
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", parent, thread))
	for _, field := range strings.Fields(string(text)) {
		if pid, err := strconv.Atoi(field); err == nil {
			found = append(found, member{pid, parent})
		}
	}
	return found
}

// All descendants of the runner. Its own are its first thread's: that forks, and the kernel gives
// orphans to the first thread that lives. Of ten threads, nine need no look, ten times a second.
func findTree() []member {
	tree := childrenOfThread(os.Getpid(), strconv.Itoa(os.Getpid()))
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children(tree[i].pid)...)
	}
	return tree
}

// The fields of a process's stat behind its name, which may hold blanks and brackets.
func statFields(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	line := string(text)
	return strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
}

func parentOf(pid int) int {
	fields := statFields(pid)
	if len(fields) < 2 {
		return -1
	}
	parent, _ := strconv.Atoi(fields[1])
	return parent
}

// The number of a process that has ended may be another's by now. The descriptor fixes who is meant,
// and whoever is not the child of its parent or of the runner is left alone.
func signalMember(m member, number syscall.Signal) {
	fd, _, errno := syscall.RawSyscall(sysPidfdOpen, uintptr(m.pid), 0, 0)
	if errno != 0 {
		if errno != syscall.ESRCH {
			syscall.Kill(m.pid, number)
		}
		return
	}
	defer syscall.Close(int(fd))
	if parent := parentOf(m.pid); parent == m.parent || parent == os.Getpid() {
		syscall.RawSyscall6(sysPidfdSendSignal, fd, uintptr(number), uintptr(unsafe.Pointer(nil)), 0, 0, 0)
	}
}

// A process and all that descends from it.
func signalSubtree(pid int, number syscall.Signal) {
	if pid <= 0 {
		return
	}
	tree := []member{{pid, os.Getpid()}}
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children(tree[i].pid)...)
	}
	for _, one := range tree {
		signalMember(one, number)
	}
}

func signalTree(number syscall.Signal) {
	for _, one := range findTree() {
		signalMember(one, number)
	}
}

func residentBytes(pid int) int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * pageBytes
}

func proportionalBytes(pid int) int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	_, after, found := strings.Cut(string(text), "\nPss:")
	fields := strings.Fields(after)
	if !found || len(fields) == 0 {
		return residentBytes(pid)
	}
	kilobytes, _ := strconv.ParseInt(fields[0], 10, 64)
	return kilobytes * 1024
}

// Memory of the tree. Forked workers share pages, and the sum of what is resident counts those once
// for each: 16 workers on 10 GB are not 160 GB. Each page is counted once where it matters, above
// what is known to be harmless; the kernel walks all page tables for that.
func treeBytes(harmless int64) int64 {
	tree := findTree()
	var bytes, sharedOnce int64
	for _, one := range tree {
		bytes += residentBytes(one.pid)
	}
	if len(tree) < 2 || bytes <= harmless {
		return bytes
	}
	for _, one := range tree {
		sharedOnce += proportionalBytes(one.pid)
	}
	return sharedOnce
}

// The processor time of all that lives; the kernel tells it in hundredths of a second.
func treeCPUMs() int64 {
	var hundredths int64
	for _, one := range findTree() {
		if fields := statFields(one.pid); len(fields) > 12 {
			for _, field := range fields[11:13] {
				count, _ := strconv.ParseInt(field, 10, 64)
				hundredths += count
			}
		}
	}
	return hundredths * 10
}
