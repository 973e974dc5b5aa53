package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
)

// Most results are small, and a store answers for each after some hundredths of a second.
const uploadsAtOnce = 16

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
	var failure error
	ends := make(chan uploadEnd, len(answer.Uploads))
	slots := make(chan struct{}, uploadsAtOnce)
	for _, target := range answer.Uploads {
		one, isPending := pending[target.Object]
		if !isPending || target.IsStored {
			ends <- uploadEnd{target.Object, nil}
			continue
		}
		slots <- struct{}{}
		go func(url string, headers map[string]string) {
			ends <- uploadEnd{one.Object, put(ctx, a, one, url, headers)}
			<-slots
		}(target.URL, target.Headers)
	}
	for range answer.Uploads {
		if end := <-ends; end.err == nil {
			delete(pending, end.object)
		} else if isWorse(end.err, failure) {
			failure = end.err
		}
	}
	return failure
}

type uploadEnd struct {
	object string
	err    error
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
