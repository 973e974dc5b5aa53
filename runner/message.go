package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"unicode"
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
	Unstored string `json:"unstored,omitempty"`
	// It is for the end of the pod, and might be stored another time.
	IsCutOff  bool        `json:"isCutOff,omitempty"`
	Artifacts *[]artifact `json:"artifacts,omitempty"`
	// An object with the artifacts, where they do not fit.
	Manifest *object `json:"manifest,omitempty"`
}

func (m message) encode() []byte {
	m.Version = 1
	m.Reason, m.Unstored = oneLine(m.Reason), oneLine(m.Unstored)
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(m); err != nil {
		panic(err) // Nothing in it can fail to be written.
	}
	return text.Bytes()
}

// With room for why something was not stored, which is known later.
func (m message) fits() bool { return len(m.encode()) < messageBytesMax-1000 }

// In place: in a pod the file is mounted alone, and cannot be renamed to.
func (m message) write(path string) error {
	return os.WriteFile(path, m.encode(), 0o644)
}

// Short, and of nothing that JSON writes with more than two bytes for one.
func oneLine(text string) string {
	const bytesMax = 400
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, text)
	if len(text) > bytesMax {
		text = strings.ToValidUTF8(text[:bytesMax], "")
	}
	return text
}

func itoa(number int) string { return strconv.Itoa(number) }
