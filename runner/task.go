package main

// What the control plane answers to `GET task`; packages/protocol/src/runner-messages.ts has the schema.
type task struct {
	AttemptID string            `json:"attemptId"`
	Argv      []string          `json:"argv"`
	Env       map[string]string `json:"env"`
	Inputs    []input           `json:"inputs"`
	Outputs   []string          `json:"outputs"`
	// The kernel enforces the limit of the pod; below it, what the tree holds is sampled.
	MemoryBytes int64       `json:"memoryBytes"`
	TimeLimitMs int64       `json:"timeLimitMs"`
	GraceMs     int64       `json:"graceMs"`
	Checkpoint  *checkpoint `json:"checkpoint"`
	// Of a task on several pods.
	Gang *gang `json:"gang"`
}

type input struct {
	Path   string `json:"path"`
	Object string `json:"object"`
	// The object store's own; absent: the control plane's.
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
}

// Run when the task is to go, before its program hears of it.
type checkpoint struct {
	Argv   []string `json:"argv"`
	TimeMs int64    `json:"timeMs"`
}
