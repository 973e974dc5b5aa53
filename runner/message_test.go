package main

import (
	"os"
	"strings"
	"testing"
)

func TestAMessageStaysBelowWhatTheKubeletKeeps(t *testing.T) {
	long := strings.Repeat("ü\n\"\x01<", 4000)
	path := t.TempDir() + "/message"
	end := message{Kind: "ended", AttemptID: "job_1.2.3", Reason: long, Unstored: long, Exit: &exitRecord{Error: oneLine(long)}}
	if err := end.write(path); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(path); len(text) < 500 || len(text) >= messageBytesMax {
		t.Errorf("%d bytes", len(text))
	}
}
