package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
)

const uploadsAtOnce = 4

type upload struct {
	object
	path, file string
}

type uploadQuestion struct {
	Objects []object `json:"objects"`
}

// One for each object asked for: stored already, or where to put it.
type uploadAnswer struct {
	Uploads []struct {
		Object   string            `json:"object"`
		IsStored bool              `json:"isStored"`
		URL      string            `json:"url"`
		Headers  map[string]string `json:"headers"`
	} `json:"uploads"`
}

// Stores each file under its hash. What fails is asked for anew and tried again, as long as the pod
// lives: a URL expires, a store is restarted, a connection breaks.
func uploadAll(ctx context.Context, a *api, pending map[string]upload) error {
	waits := backoff{what: "storing results"}
	for len(pending) > 0 {
		before := len(pending)
		err := uploadOnce(ctx, a, pending)
		var fenced fencedError
		var refused refusedError
		if errors.As(err, &fenced) || errors.As(err, &refused) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			continue
		}
		if len(pending) < before {
			waits.wait = 0
		}
		if err := waits.pause(ctx, err); err != nil {
			return err
		}
	}
	return nil
}

// Takes off the list what is stored; answers with one of the reasons why something is not.
func uploadOnce(ctx context.Context, a *api, pending map[string]upload) error {
	var question uploadQuestion
	for _, one := range pending {
		question.Objects = append(question.Objects, one.object)
	}
	var answer uploadAnswer
	if err := a.exchange(ctx, http.MethodPost, "/uploads", question, &answer, answerWait); err != nil {
		return err
	}
	var lock sync.Mutex
	var failure error
	var workers sync.WaitGroup
	slots := make(chan struct{}, uploadsAtOnce)
	for _, target := range answer.Uploads {
		one, isPending := pending[target.Object]
		if !isPending {
			continue
		}
		if target.IsStored {
			lock.Lock()
			delete(pending, target.Object)
			lock.Unlock()
			continue
		}
		slots <- struct{}{}
		workers.Add(1)
		go func(url string, headers map[string]string) {
			defer func() { <-slots; workers.Done() }()
			err := put(ctx, a, one, url, headers)
			lock.Lock()
			defer lock.Unlock()
			if err == nil {
				delete(pending, one.Object)
			} else if isWorse(err, failure) {
				failure = err
			}
		}(target.URL, target.Headers)
	}
	workers.Wait()
	return failure
}

// A refusal says more than a failure beside it.
func isWorse(err, than error) bool {
	var fenced fencedError
	var refused refusedError
	return than == nil || errors.As(err, &fenced) || errors.As(err, &refused)
}

func put(ctx context.Context, a *api, one upload, url string, headers map[string]string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	file, err := os.OpenFile(one.file, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return refusedError{fmt.Sprintf("%s cannot be read: %v", one.path, unwrap(err))}
	}
	defer file.Close()
	body := watch(io.LimitReader(file, one.SizeBytes), cancel)
	defer body.stop()
	target := url
	if target == "" {
		target = a.objectURL(one.Object)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, target, body)
	if err != nil {
		return err
	}
	request.ContentLength = one.SizeBytes
	if one.SizeBytes == 0 {
		request.Body = http.NoBody
	}
	for name, value := range headers {
		if !strings.EqualFold(name, "content-length") {
			request.Header.Set(name, value)
		}
	}
	if url == "" {
		a.authorize(request)
		request.Header.Set("Content-Type", "application/octet-stream")
	}
	response, err := a.http.Do(request)
	if err != nil {
		return err
	}
	defer drain(response.Body)
	if url == "" {
		return ownStatus(response)
	}
	return status(response)
}
