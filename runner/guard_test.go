package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The guard reaps whatever ends and forks from the first thread: it has a process of its own.
func TestMain(m *testing.M) {
	if beInGroup() {
		return
	}
	if folder := os.Getenv("TEST_GUARD_FOLDER"); folder != "" {
		guardInChild(folder)
		return
	}
	os.Exit(m.Run())
}

func guardInChild(folder string) {
	becomeSubreaper()
	ends := make(chan string, 1)
	stderr, _ := openLog(folder, "stderr")
	t := task{
		Argv:       []string{"sh", "-c", `trap 'cat saved; exit 6' TERM; touch ready; while :; do sleep 0.02; done`},
		GraceMs:    5000,
		Checkpoint: &checkpoint{Argv: strings.Split(os.Getenv("TEST_CHECKPOINT"), "\n"), TimeMs: 500},
	}
	go func() {
		for {
			if _, err := os.Stat(filepath.Join(folder, "work/ready")); err == nil {
				ends <- endByTerm
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	record := newGuard(&t, config{folder: folder}, ends, &usageNow{}).run(os.Stdout, stderr)
	end := message{Kind: "ended", Exit: &record}
	os.WriteFile(filepath.Join(folder, "record"), end.encode(), 0o600)
}

func guardWith(t *testing.T, checkpoint ...string) (output, record string) {
	folder := t.TempDir()
	for _, name := range []string{"work", "scratch"} {
		if err := os.Mkdir(filepath.Join(folder, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	child := exec.Command("/proc/self/exe")
	child.Env = append(os.Environ(), "TEST_GUARD_FOLDER="+folder, "TEST_CHECKPOINT="+strings.Join(checkpoint, "\n"))
	text, err := child.Output()
	if err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(filepath.Join(folder, "record"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text), string(written)
}

func TestTheCheckpointIsDoneBeforeTheProgramHearsTERM(t *testing.T) {
	output, record := guardWith(t, "sh", "-c", `kill -0 $MAJORANA_PROGRAM_PID && printf saved > saved`)
	if output != "saved" || !strings.Contains(record, `"exitCode":6,"endedBy":"term"`) {
		t.Errorf("%q %s", output, record)
	}
}

func TestACheckpointThatDoesNotEndIsEndedWithItsProgram(t *testing.T) {
	output, record := guardWith(t, "sleep", "60")
	if output != "" || !strings.Contains(record, `"endedBy":"term"`) {
		t.Errorf("%q %s", output, record)
	}
}

func TestACheckpointThatCannotStartKeepsNothingBack(t *testing.T) {
	if _, record := guardWith(t, "no-such-program"); !strings.Contains(record, `"exitCode":6`) {
		t.Error(record)
	}
}
