package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

const (
	linkWait = 25 * time.Second
	// As the protocol has it.
	logBytesMax = 1 << 20
)

type logRequest struct {
	RequestID string `json:"requestId"`
	Stream    string `json:"stream"`
	Offset    int64  `json:"offset"`
	BytesMax  int64  `json:"bytesMax"`
}

type logChunk struct {
	RequestID string `json:"requestId"`
	Data      []byte `json:"dataBase64"`
}

type linkNews struct {
	State     string     `json:"state"`
	Usage     linkUsage  `json:"usage"`
	LogChunks []logChunk `json:"logChunks"`
	WaitMs    int64      `json:"waitMs"`
}

type linkUsage struct {
	MemoryBytes     int64 `json:"memoryBytes"`
	PeakMemoryBytes int64 `json:"peakMemoryBytes"`
	CPUTimeMs       int64 `json:"cpuTimeMs"`
}

type linkOrders struct {
	IsToEnd     bool         `json:"isToEnd"`
	LogRequests []logRequest `json:"logRequests"`
}

// Keeps one request open to the control plane, by which it hears who wants to read a log and whether
// the task is to end. Nothing depends on it: without it the task runs on, and a TERM ends it too.
type link struct {
	api    *api
	folder string
	state  atomic.Value
	usage  *usageNow
	end    func(order string)
}

func (l *link) loop(ctx context.Context) {
	waits := backoff{what: "the link to the control plane"}
	chunks := []logChunk{}
	for ctx.Err() == nil {
		var orders linkOrders
		news := linkNews{State: l.state.Load().(string), LogChunks: chunks, WaitMs: linkWait.Milliseconds()}
		news.Usage = l.usageNow()
		err := l.api.exchange(ctx, http.MethodPost, "/link", news, &orders, linkWait+answerWait)
		var fenced fencedError
		if errors.As(err, &fenced) {
			l.end(endByFence)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			if waits.pause(ctx, err) != nil {
				return
			}
			continue
		}
		waits.wait = 0
		if orders.IsToEnd {
			l.end(endByCancel)
		}
		chunks = chunks[:0]
		for _, request := range orders.LogRequests {
			chunks = append(chunks, l.read(request))
		}
		// An order to end that is repeated at once must not spin.
		if orders.IsToEnd && len(chunks) == 0 {
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
}

func (l *link) usageNow() linkUsage {
	cpuMs := l.usage.reapedCPUUs.Load()/1000 + treeCPUMs()
	return linkUsage{l.usage.memoryBytes.Load(), l.usage.peakMemoryBytes.Load(), cpuMs}
}

// A log that cannot be read is answered as empty.
func (l *link) read(request logRequest) logChunk {
	chunk := logChunk{RequestID: request.RequestID, Data: []byte{}}
	if request.Stream != "stdout" && request.Stream != "stderr" {
		return chunk
	}
	file, err := os.Open(filepath.Join(l.folder, request.Stream))
	if err != nil {
		return chunk
	}
	defer file.Close()
	bytes := request.BytesMax
	if bytes > logBytesMax {
		bytes = logBytesMax
	}
	if info, err := file.Stat(); err == nil && info.Size()-request.Offset < bytes {
		bytes = info.Size() - request.Offset
	}
	if bytes <= 0 {
		return chunk
	}
	chunk.Data = make([]byte, bytes)
	count, err := file.ReadAt(chunk.Data, request.Offset)
	if err != nil && err != io.EOF {
		count = 0
	}
	chunk.Data = chunk.Data[:count]
	return chunk
}
