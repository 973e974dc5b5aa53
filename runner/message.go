package main

import (
	"encoding/json"
	"os"
	"strconv"
	"unicode/utf8"
)

// The kubelet keeps this much of it, and cuts the rest off without a word.
const messageBytesMax = 4096

type artifact struct {
	Role      string `json:"role"`
	Path      string `json:"path"`
	Object    string `json:"object"`
	SizeBytes int64  `json:"sizeBytes"`
}

type object struct {
	Object    string `json:"object"`
	SizeBytes int64  `json:"sizeBytes"`
}

// The termination message. `kind` is ended, not_started or fenced.
type message struct {
	Version   int         `json:"version"`
	Kind      string      `json:"kind"`
	AttemptID string      `json:"attemptId"`
	Reason    string      `json:"reason,omitempty"`
	Exit      *exitRecord `json:"exit,omitempty"`
	// Why its results are not all stored.
	Unstored  string      `json:"unstored,omitempty"`
	Artifacts *[]artifact `json:"artifacts,omitempty"`
	// An object with the artifacts, where they do not fit.
	Manifest *object `json:"manifest,omitempty"`
}

func (m message) encode() []byte {
	m.Version = 1
	text, err := json.Marshal(m)
	if err != nil {
		panic(err) // Nothing in it can fail to be written.
	}
	return text
}

func (m message) fits() bool { return len(m.encode()) < messageBytesMax }

// In place: in a pod the file is mounted alone, and cannot be renamed to.
func (m message) write(path string) error {
	m.Reason, m.Unstored = shortened(m.Reason), shortened(m.Unstored)
	return os.WriteFile(path, m.encode(), 0o644)
}

func shortened(text string) string {
	const bytesMax = 1000
	if len(text) <= bytesMax {
		return text
	}
	text = text[:bytesMax]
	for !utf8.ValidString(text) {
		text = text[:len(text)-1]
	}
	return text
}

func itoa(number int) string { return strconv.Itoa(number) }
