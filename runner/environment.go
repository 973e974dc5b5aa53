package main

import (
	"os"
	"path/filepath"
	"strings"
)

// What the pod tells the runner is no business of the program.
func isOwn(name string) bool {
	return strings.HasPrefix(name, "MAJORANA_RUNNER_") || name == "MAJORANA_ATTEMPT_ID"
}

// The image's own variables, then where the task lives, then what the control plane says: its words
// on the task, and above them the job's own. The local launcher starts programs with the same, but
// for the first.
func environment(t *task, folder string, nodeRank int) []string {
	values := map[string]string{}
	var names []string
	set := func(name, value string) {
		if _, known := values[name]; !known {
			names = append(names, name)
		}
		values[name] = value
	}
	for _, line := range os.Environ() {
		if name, value, found := strings.Cut(line, "="); found && !isOwn(name) {
			set(name, value)
		}
	}
	set("HOME", filepath.Join(folder, "work"))
	set("TMPDIR", filepath.Join(folder, "scratch"))
	set("MAJORANA_SCRATCH", filepath.Join(folder, "scratch"))
	if t.Gang != nil {
		for name, value := range gangVariables(t.Gang, folder, nodeRank) {
			set(name, value)
		}
	}
	for name, value := range t.Env {
		set(name, value)
	}
	set("MAJORANA_ATTEMPT_FOLDER", folder)
	lines := make([]string, 0, len(names))
	for _, name := range names {
		lines = append(lines, name+"="+values[name])
	}
	return lines
}

func lookup(env []string, name string) (string, bool) {
	for _, line := range env {
		if key, value, _ := strings.Cut(line, "="); key == name {
			return value, true
		}
	}
	return "", false
}
