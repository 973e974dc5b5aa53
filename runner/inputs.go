package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

const (
	inputsAtOnce = 4
	chunkBytes   = 256 << 10
)

// A path of the working directory; nothing else may be named by a task.
func insideWork(work, relative string) (string, error) {
	target := filepath.Join(work, relative)
	if filepath.IsAbs(relative) {
		target = filepath.Clean(relative)
	}
	if !strings.HasPrefix(target, work+"/") {
		return "", refusedError{fmt.Sprintf("the input path %s leaves the working directory", relative)}
	}
	return target, nil
}

// Makes the folders of a path one by one. Nothing but the runner writes there yet, and no link that
// an image brought is followed.
func makeParents(work, target string) error {
	folder := work
	for _, name := range strings.Split(filepath.Dir(strings.TrimPrefix(target, work+"/")), "/") {
		if name == "." {
			continue
		}
		folder = filepath.Join(folder, name)
		if err := os.Mkdir(folder, 0o700); err != nil && !os.IsExist(err) {
			return err
		}
		if info, err := os.Lstat(folder); err != nil {
			return err
		} else if !info.IsDir() {
			return refusedError{fmt.Sprintf("an input needs the folder %s, which is none", folder)}
		}
	}
	return nil
}

// Lays in all inputs. The first refusal ends it.
func layIn(ctx context.Context, a *api, work string, inputs []input) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	byTarget := map[string]input{}
	for _, one := range inputs {
		target, err := insideWork(work, one.Path)
		if err != nil {
			return err
		}
		byTarget[target] = one
	}
	for target := range byTarget {
		if err := makeParents(work, target); err != nil {
			return err
		}
	}
	type job struct {
		target string
		input  input
	}
	jobs := make(chan job)
	failures := make(chan error, inputsAtOnce)
	var workers sync.WaitGroup
	for i := 0; i < inputsAtOnce; i++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			buffer := make([]byte, chunkBytes)
			for one := range jobs {
				if err := fetchInput(ctx, a, one.target, one.input, buffer); err != nil {
					failures <- err
					cancel()
					return
				}
			}
		}()
	}
	for target, one := range byTarget {
		select {
		case jobs <- job{target, one}:
		case <-ctx.Done():
		}
	}
	close(jobs)
	workers.Wait()
	close(failures)
	// The first says why; those after it were only cancelled.
	if err, failed := <-failures; failed {
		return err
	}
	return ctx.Err()
}

// A download that goes on where a broken connection left it.
type download struct {
	file  *os.File
	hash  hash.Hash
	bytes int64
	// The store's URL was refused: it may have expired. The control plane's has no end.
	isOwn bool
}

func fetchInput(ctx context.Context, a *api, target string, one input, buffer []byte) error {
	temporary := target + ".majorana-part"
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(temporary)
	defer file.Close()
	part := &download{file: file, hash: sha256.New(), isOwn: one.URL == ""}
	err = persist(ctx, "input "+one.Path, func() error { return part.advance(ctx, a, one, buffer) })
	if err != nil {
		return err
	}
	return os.Rename(temporary, target)
}

func (d *download) advance(ctx context.Context, a *api, one input, buffer []byte) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	response, err := d.ask(ctx, a, one)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusPartialContent && d.bytes > 0 {
		if err := d.restart(); err != nil {
			return err
		}
	}
	body := watch(response.Body, cancel)
	defer body.stop()
	count, err := io.CopyBuffer(onlyWriter{io.MultiWriter(d.file, d.hash)}, body, buffer)
	d.bytes += count
	if errors.Is(err, syscall.ENOSPC) {
		return refusedError{fmt.Sprintf("no room is left for its input %s", one.Path)}
	}
	if err != nil {
		return err
	}
	if found := hex.EncodeToString(d.hash.Sum(nil)); found != one.Object {
		if err := d.restart(); err != nil {
			return err
		}
		return fmt.Errorf("object %s came with the SHA-256 %s", one.Object, found)
	}
	return nil
}

func (d *download) restart() error {
	d.bytes = 0
	d.hash.Reset()
	if _, err := d.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return d.file.Truncate(0)
}

func (d *download) ask(ctx context.Context, a *api, one input) (*http.Response, error) {
	if !d.isOwn {
		response, err := d.get(ctx, a, one.URL, one.Headers)
		return d.judge(response, one, err, status)
	}
	response, err := d.get(ctx, a, a.objectURL(one.Object), map[string]string{"Authorization": "Bearer " + a.token})
	if err != nil || response.StatusCode != http.StatusTemporaryRedirect {
		return d.judge(response, one, err, ownStatus)
	}
	drain(response.Body)
	// To the store: the token is the control plane's only.
	response, err = d.get(ctx, a, response.Header.Get("Location"), nil)
	return d.judge(response, one, err, status)
}

func (d *download) get(ctx context.Context, a *api, url string, headers map[string]string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, refusedError{err.Error()}
	}
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	if d.bytes > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.bytes))
	}
	return a.http.Do(request)
}

func (d *download) judge(response *http.Response, one input, err error, meaning func(*http.Response) error) (*http.Response, error) {
	if err != nil {
		return nil, err
	}
	if err = meaning(response); err == nil {
		return response, nil
	}
	drain(response.Body)
	return nil, d.fail(err, one)
}

// What an answer that is no success makes of the next try.
func (d *download) fail(err error, one input) error {
	var answer statusError
	if !errors.As(err, &answer) || answer.status >= 500 || answer.status == http.StatusTooManyRequests {
		return err
	}
	if answer.status == http.StatusRequestedRangeNotSatisfiable {
		d.restart()
		return err
	}
	if !d.isOwn {
		d.isOwn = true
		return err
	}
	if answer.status == http.StatusNotFound {
		return refusedError{fmt.Sprintf("object %s, its input %s, is not in the store", one.Object, one.Path)}
	}
	return err
}

// Hides ReadFrom, which would pass the hash by.
type onlyWriter struct{ io.Writer }
