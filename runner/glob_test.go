package main

import (
	"encoding/json"
	"os"
	"reflect"
	"sort"
	"strings"
	"testing"
)

func TestGlobsNameTheFilesThatTheLocalAgentFinds(t *testing.T) {
	text, err := os.ReadFile("testdata/globs.json")
	if err != nil {
		t.Fatal(err)
	}
	var table struct {
		Files   []string
		Matches []struct{ Globs, Files []string }
	}
	if err := json.Unmarshal(text, &table); err != nil {
		t.Fatal(err)
	}
	if len(table.Matches) < 50 {
		t.Fatalf("the table has only %d cases", len(table.Matches))
	}
	for _, one := range table.Matches {
		globs, err := parseGlobs(one.Globs)
		if err != nil {
			t.Fatal(err)
		}
		found := []string{}
		for _, file := range table.Files {
			if globs.match(file) {
				found = append(found, file)
			}
		}
		sort.Strings(found)
		sort.Strings(one.Files)
		if !reflect.DeepEqual(found, one.Files) {
			t.Errorf("%q: %q; the local agent finds %q", one.Globs, found, one.Files)
		}
	}
}

func TestAGlobForTooManyOthersIsRefused(t *testing.T) {
	if _, err := parseGlobs([]string{strings.Repeat("{a,b}", 14)}); err == nil {
		t.Error("16,384 alternatives were taken")
	}
}
