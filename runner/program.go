package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Where a program is looked for when its environment names no PATH, as in musl.
const defaultPath = "/usr/local/bin:/bin:/usr/bin"

// The words of the C library, which the local launcher uses.
func words(err error) string {
	text := err.Error()
	if number, isNumber := err.(syscall.Errno); isNumber {
		text = number.Error()
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

type startError struct{ what, why, name string }

func (e startError) Error() string {
	return oneLine(fmt.Sprintf("%s: %s: %s", e.what, e.why, e.name))
}

// Starts argv in the working directory, its own process group, standard input at its end. No shell
// reads it.
func start(argv, env []string, folder string, stdout, stderr *os.File) (int, error) {
	input, err := os.Open("/dev/null")
	if err != nil {
		return 0, startError{"open", words(unwrap(err)), "/dev/null"}
	}
	defer input.Close()
	return startWith(argv, env, folder, input, stdout, stderr)
}

func startWith(argv, env []string, folder string, input, stdout, stderr *os.File) (int, error) {
	work := filepath.Join(folder, "work")
	if info, err := os.Stat(work); err != nil {
		return 0, startError{"chdir", words(unwrap(err)), work}
	} else if !info.IsDir() {
		return 0, startError{"chdir", words(syscall.ENOTDIR), work}
	}
	attributes := &syscall.ProcAttr{
		Dir:   work,
		Env:   env,
		Files: []uintptr{input.Fd(), stdout.Fd(), stderr.Fd()},
		Sys:   &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	}
	failure := error(syscall.ENOENT)
	for _, path := range candidates(argv[0], env, work) {
		pid, err := syscall.ForkExec(path, argv, attributes)
		if err == nil {
			return pid, nil
		}
		if err == syscall.EACCES {
			failure = err
		} else if err != syscall.ENOENT && err != syscall.ENOTDIR {
			return 0, startError{"exec", words(err), argv[0]}
		}
	}
	return 0, startError{"exec", words(failure), argv[0]}
}

// The files that a name may mean. Those that are not there are left out: each would cost a fork.
func candidates(name string, env []string, work string) []string {
	if strings.Contains(name, "/") || name == "" {
		return []string{name}
	}
	list, found := lookup(env, "PATH")
	if !found {
		list = defaultPath
	}
	var paths []string
	for _, folder := range strings.Split(list, ":") {
		path := filepath.Join(folder, name)
		if !filepath.IsAbs(path) {
			path = filepath.Join(work, path)
		}
		if _, err := os.Stat(path); err == nil {
			paths = append(paths, path)
		}
	}
	return paths
}

func unwrap(err error) error {
	if inner, isPath := err.(*os.PathError); isPath {
		return inner.Err
	}
	return err
}
