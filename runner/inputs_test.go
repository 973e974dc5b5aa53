package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestInputsStayInsideTheWorkingDirectory(t *testing.T) {
	for path, isInside := range map[string]bool{
		"a": true, "a/b": true, "./a": true, "a/../b": true, "..a": true,
		"..": false, "../a": false, "a/../../b": false, "/etc/passwd": false, ".": false, "": false,
		"/folder/a": true,
	} {
		if _, err := insideWork("/folder", path); (err == nil) != isInside {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestNoLinkOfAnImageLeadsAnInputOutside(t *testing.T) {
	work, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(work, "link")); err != nil {
		t.Fatal(err)
	}
	if err := makeParents(work, filepath.Join(work, "link/deep/file")); err == nil {
		t.Error("the link was followed")
	}
	if entries, _ := os.ReadDir(outside); len(entries) != 0 {
		t.Error("something was made outside")
	}
	if err := makeParents(work, filepath.Join(work, "a/b/file")); err != nil {
		t.Error(err)
	}
}
