package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAnOutputWhoseNameIsNoTextIsToldAndTheOthersAreFound(t *testing.T) {
	folder := t.TempDir()
	work := filepath.Join(folder, "work")
	for _, name := range []string{"a\xffb.csv", "good.csv", "c\xff.other"} {
		os.Mkdir(work, 0o700)
		if err := os.WriteFile(filepath.Join(work, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found, err := findResults(folder, []string{"*.csv"})
	if err == nil || !strings.Contains(err.Error(), `"a\xffb.csv"`) {
		t.Errorf("it is not told: %v", err)
	}
	if len(found) != 1 || found[0].path != "good.csv" {
		t.Errorf("found: %v", found)
	}
	if _, err := findResults(folder, []string{"good.csv"}); err != nil {
		t.Errorf("nobody asked for what is told: %v", err)
	}
}
