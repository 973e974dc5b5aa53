package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	// Of the runner's image: authorities to trust, since the task's image may bring none.
	imageCAFile = "/ca.crt"
	caName      = "ca.crt"
)

// Copies this program, and the authorities it is to trust, into a folder that the task's container
// mounts.
func install(folder, caFile string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	err := copyWhole(caFile, filepath.Join(folder, caName), 0o644)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return copyWhole("/proc/self/exe", filepath.Join(folder, "majorana-runner"), 0o755)
}

// Whole at once: the container may be started again while a copy is under way.
func copyWhole(from, to string, mode os.FileMode) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	temporary := filepath.Join(filepath.Dir(to), "."+filepath.Base(to))
	target, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	if _, err = io.Copy(target, source); err == nil {
		err = target.Chmod(mode)
	}
	if closeErr := target.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(temporary, to)
}

// What was installed beside this program; empty: nothing was.
func installedCAFile() string {
	program, err := os.Executable()
	if err != nil {
		return ""
	}
	file := filepath.Join(filepath.Dir(program), caName)
	if _, err := os.Stat(file); err != nil {
		return ""
	}
	return file
}
