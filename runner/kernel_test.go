package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Groups of version 2 on a real kernel, as e2e/cgroup-v2.runner.test.ts boots one.
const realRoot = "/sys/fs/cgroup"

const mebibyte = 1 << 20

// What a runner in a group has seen of it.
type sight struct {
	Exists, IsV2     bool
	Folder           string
	Peak, CPUUs, OOM int64
	Record           exitRecord
}

// Never makes the file: where version 1 is mounted beside it, the root is an ordinary folder.
func passOnTo(folder string) error {
	control, err := os.OpenFile(filepath.Join(folder, "cgroup.subtree_control"), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer control.Close()
	_, err = control.WriteString("+memory +cpu")
	return err
}

func realGroup(t *testing.T, files map[string]string, path ...string) string {
	if err := passOnTo(realRoot); err != nil {
		t.Skipf("no group of version 2 can be made here: %v", err)
	}
	folder := realRoot
	for _, name := range path {
		if err := passOnTo(folder); err != nil {
			t.Fatal(err)
		}
		folder = filepath.Join(folder, name)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		made := folder
		t.Cleanup(func() { os.Remove(made) })
	}
	for name, value := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(value), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// A process for itself, started by guardInGroup: it enters its group, takes it for the root of the
// tree where a container would, and becomes a new program, whose threads are all there.
func enterGroup(folder string) error {
	pid := strconv.Itoa(os.Getpid())
	if err := os.WriteFile(filepath.Join(folder, "cgroup.procs"), []byte(pid), 0o644); err != nil {
		return err
	}
	if os.Getenv("TEST_GROUP_IS_ROOT") != "" {
		if err := syscall.Unshare(syscall.CLONE_NEWCGROUP | syscall.CLONE_NEWNS); err != nil {
			return err
		}
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			return err
		}
		if err := syscall.Unmount(realRoot, syscall.MNT_DETACH); err != nil {
			return err
		}
		if err := syscall.Mount("cgroup2", realRoot, "cgroup2", syscall.MS_RDONLY, ""); err != nil {
			return err
		}
	}
	os.Unsetenv("TEST_GROUP")
	return syscall.Exec("/proc/self/exe", os.Args, os.Environ())
}

func seeGroup(folder string) {
	becomeSubreaper()
	t := task{Argv: []string{"sh", "-c", os.Getenv("TEST_SCRIPT")}, GraceMs: 1000}
	stderr, _ := openLog(folder, "stderr")
	g := newGuard(&t, config{folder: folder}, nil, &usageNow{})
	record := g.run(stderr, stderr)
	json.NewEncoder(os.Stdout).Encode(sight{
		Exists: g.group.exists(), IsV2: g.group.isV2, Folder: g.group.memory,
		Peak: g.group.peakBytes(), CPUUs: g.group.cpuUs(), OOM: g.group.oomKills(), Record: record,
	})
}

func guardInGroup(t *testing.T, group string, isRoot bool, script string) (sight, error) {
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "work"), 0o700); err != nil {
		t.Fatal(err)
	}
	child := exec.Command("/proc/self/exe")
	child.Env = append(os.Environ(), "TEST_GROUP="+group, "TEST_SIGHT_FOLDER="+folder, "TEST_SCRIPT="+script)
	if isRoot {
		child.Env = append(child.Env, "TEST_GROUP_IS_ROOT=1")
	}
	child.Stderr = os.Stderr
	text, err := child.Output()
	var seen sight
	if err == nil {
		err = json.Unmarshal(text, &seen)
	}
	return seen, err
}

// 100 MiB that are touched, then half a second of a processor.
const useBoth = `dd if=/dev/zero of=/dev/null bs=100M count=1; timeout 0.5 sh -c 'while :; do :; done'; exit 7`

func TestOnARealKernelAGroupIsSeenAsTheRootAndByItsPath(t *testing.T) {
	for _, isRoot := range []bool{true, false} {
		group := realGroup(t, map[string]string{"memory.max": strconv.Itoa(400 * mebibyte)}, "majorana-test", "pod-1")
		seen, err := guardInGroup(t, group, isRoot, useBoth)
		if err != nil {
			t.Fatal(err)
		}
		folder := group
		if isRoot {
			folder = realRoot
		}
		if !seen.Exists || !seen.IsV2 || seen.Folder != folder || *seen.Record.ExitCode != 7 {
			t.Errorf("%+v", seen)
		}
		if seen.Peak < 100*mebibyte || seen.Peak > 200*mebibyte || seen.CPUUs < 400_000 {
			t.Errorf("a peak of %d bytes, %d us", seen.Peak, seen.CPUUs)
		}
		told := seen.Record
		if told.PeakMemoryBytes < 100*mebibyte || told.PeakMemoryBytes > seen.Peak || told.CPUTimeMs < 400 || told.IsOutOfMemory {
			t.Errorf("told: %+v", told)
		}
	}
}

func TestOnARealKernelAChildThatWasKilledForMemoryIsTold(t *testing.T) {
	group := realGroup(t, map[string]string{"memory.max": strconv.Itoa(150 * mebibyte)}, "majorana-test", "pod-2")
	for round := int64(1); round <= 2; round++ {
		seen, err := guardInGroup(t, group, true, `tail /dev/zero; exit 5`)
		if err != nil || seen.OOM != round || !seen.Record.IsOutOfMemory || *seen.Record.ExitCode != 5 {
			t.Errorf("%d: %v, %+v", round, err, seen)
		}
	}
	// What was killed before this program began is not its own.
	if seen, err := guardInGroup(t, group, true, `exit 0`); err != nil || seen.OOM != 2 || seen.Record.IsOutOfMemory {
		t.Errorf("%v, %+v", err, seen)
	}
}

// As the kubelet sets it: its own word on the container is all there is then.
func TestOnARealKernelAGroupThatIsKilledAsAWholeTakesTheRunnerWithIt(t *testing.T) {
	limits := map[string]string{"memory.max": strconv.Itoa(150 * mebibyte), "memory.oom.group": "1"}
	_, err := guardInGroup(t, realGroup(t, limits, "majorana-test", "pod-3"), true, `tail /dev/zero; exit 5`)
	ended, isExit := err.(*exec.ExitError)
	if !isExit || ended.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("%v", err)
	}
}

func TestOnARealKernelTheLimitOfAGroupAboveIsNotTakenForItsOwn(t *testing.T) {
	realGroup(t, map[string]string{"memory.max": strconv.Itoa(400 * mebibyte)}, "majorana-test", "pod-4")
	group := realGroup(t, nil, "majorana-test", "pod-4", "inner")
	seen, err := guardInGroup(t, group, true, useBoth)
	if err != nil || seen.Exists || seen.Record.PeakMemoryBytes < 100*mebibyte || seen.Record.CPUTimeMs < 400 {
		t.Errorf("%v, %+v", err, seen)
	}
}

func beInGroup() bool {
	switch {
	case os.Getenv("TEST_GROUP") != "":
		if err := enterGroup(os.Getenv("TEST_GROUP")); err != nil {
			say("%s: %v", strings.TrimPrefix(os.Getenv("TEST_GROUP"), realRoot), err)
			os.Exit(1)
		}
	case os.Getenv("TEST_SIGHT_FOLDER") != "":
		seeGroup(os.Getenv("TEST_SIGHT_FOLDER"))
		return true
	}
	return false
}
