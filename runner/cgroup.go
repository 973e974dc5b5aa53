package main

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// A limit beyond this is how version 1 says that there is none.
const unlimitedBytes = 1 << 60

// The control groups of this container: `memory` and `cpu` are folders, the same one in version 2.
// Empty where the group has no memory limit: a pod's always has one, and a group without is the
// whole machine's or somebody else's.
type cgroup struct {
	memory, cpu string
	isV2        bool
}

func findCgroup(root, ofProcess string) cgroup {
	paths := cgroupPaths(ofProcess)
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err == nil {
		folder := existing(root, paths[""])
		if !isLimit(readNumber(filepath.Join(folder, "memory.max"))) {
			return cgroup{}
		}
		return cgroup{memory: folder, cpu: folder, isV2: true}
	}
	memory := existing(filepath.Join(root, "memory"), paths["memory"])
	if !isLimit(readNumber(filepath.Join(memory, "memory.limit_in_bytes"))) {
		return cgroup{}
	}
	return cgroup{memory: memory, cpu: existing(filepath.Join(root, "cpuacct"), paths["cpuacct"])}
}

func isLimit(bytes int64) bool { return bytes > 0 && bytes < unlimitedBytes }

// Lines such as `0::/path` and `4:memory:/path`, by controller.
func cgroupPaths(ofProcess string) map[string]string {
	paths := map[string]string{}
	for _, line := range strings.Split(ofProcess, "\n") {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) < 3 {
			continue
		}
		for _, controller := range strings.Split(parts[1], ",") {
			paths[controller] = parts[2]
		}
	}
	return paths
}

// Without a namespace of its own a container sees the host's path, and its group mounted at the root.
func existing(root, path string) string {
	folder := filepath.Join(root, path)
	if info, err := os.Stat(folder); err == nil && info.IsDir() {
		return folder
	}
	return root
}

func readNumber(file string) int64 {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	value, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return value
}

// A line `key value`.
func readKey(file, key string) int64 {
	text, err := os.Open(file)
	if err != nil {
		return 0
	}
	defer text.Close()
	for lines := bufio.NewScanner(text); lines.Scan(); {
		if name, value, found := strings.Cut(lines.Text(), " "); found && name == key {
			number, _ := strconv.ParseInt(value, 10, 64)
			return number
		}
	}
	return 0
}

func (g cgroup) exists() bool { return g.memory != "" }

func (g cgroup) oomKills() int64 {
	if !g.exists() {
		return 0
	}
	if g.isV2 {
		return readKey(filepath.Join(g.memory, "memory.events"), "oom_kill")
	}
	return readKey(filepath.Join(g.memory, "memory.oom_control"), "oom_kill")
}

func (g cgroup) peakBytes() int64 {
	if !g.exists() {
		return 0
	}
	if g.isV2 {
		return readNumber(filepath.Join(g.memory, "memory.peak"))
	}
	return readNumber(filepath.Join(g.memory, "memory.max_usage_in_bytes"))
}

func (g cgroup) cpuUs() int64 {
	if !g.exists() {
		return 0
	}
	if g.isV2 {
		return readKey(filepath.Join(g.cpu, "cpu.stat"), "usage_usec")
	}
	return readNumber(filepath.Join(g.cpu, "cpuacct.usage")) / 1000
}

func rusageUs(usage *syscall.Rusage) int64 {
	return (usage.Utime.Nano() + usage.Stime.Nano()) / 1000
}

func ownCPUUs() int64 {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return rusageUs(&usage)
}
