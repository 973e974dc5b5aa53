package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

const (
	// Doubled after each try that failed, up to the second; each wait is a random part of it, so that
	// ten thousand runners do not come back together.
	retryWait    = 200 * time.Millisecond
	retryWaitMax = 30 * time.Second
	answerWait   = 30 * time.Second
	// A body that does not move for so long has lost its other end.
	stallWait     = 60 * time.Second
	answerBytes   = 256 << 20
	problemBytes  = 4096
	sayAgainAfter = time.Minute
)

// The attempt is not the task's any more, or the token was never its own: nothing of it is wanted.
type fencedError struct{ why string }

func (e fencedError) Error() string { return e.why }

// Trying again cannot help.
type refusedError struct{ why string }

func (e refusedError) Error() string { return e.why }

// An answer that is no success, for the caller to judge.
type statusError struct {
	status     int
	detail     string
	retryAfter time.Duration
}

func (e statusError) Error() string { return fmt.Sprintf("%d %s", e.status, e.detail) }

type api struct {
	base, token string
	http        *http.Client
}

func newAPI(c config) (*api, error) {
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: uploadsAtOnce,
		IdleConnTimeout:     10 * time.Second,
		// Longer than any poll: a line that was cut in the middle of an answer may never say so.
		ResponseHeaderTimeout: stallWait,
		WriteBufferSize:       64 << 10,
		ReadBufferSize:        64 << 10,
	}
	if c.caFile != "" {
		text, err := os.ReadFile(c.caFile)
		if err != nil {
			return nil, err
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no certificate", c.caFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	// A store's URL is signed as it is; nobody is followed elsewhere.
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client := &http.Client{Transport: transport, CheckRedirect: noRedirect}
	return &api{base: c.url + "/api/v1/runner/attempts/" + c.attemptID, token: c.token, http: client}, nil
}

func (a *api) objectURL(object string) string { return a.base + "/objects/" + object }

func (a *api) authorize(request *http.Request) {
	request.Header.Set("Authorization", "Bearer "+a.token)
}

// One exchange of JSON with the control plane.
func (a *api) exchange(ctx context.Context, method, path string, question, answer any, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var body io.Reader
	if question != nil {
		text, err := json.Marshal(question)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, a.base+path, body)
	if err != nil {
		return refusedError{err.Error()}
	}
	a.authorize(request)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := a.http.Do(request)
	if err != nil {
		return err
	}
	defer drain(response.Body)
	if err := ownStatus(response); err != nil {
		return err
	}
	return json.NewDecoder(io.LimitReader(response.Body, answerBytes)).Decode(answer)
}

// What a status of the control plane means; of an object store it is only an answer.
func ownStatus(response *http.Response) error {
	err := status(response)
	var answer statusError
	if errors.As(err, &answer) && (answer.status == http.StatusGone || answer.status == http.StatusUnauthorized) {
		return fencedError{answer.Error()}
	}
	return err
}

func status(response *http.Response) error {
	if response.StatusCode < 300 {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(response.Body, problemBytes))
	var problem struct {
		Detail string `json:"detail"`
	}
	detail := http.StatusText(response.StatusCode)
	if json.Unmarshal(text, &problem) == nil && problem.Detail != "" {
		detail = problem.Detail
	}
	seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
	return statusError{response.StatusCode, detail, time.Duration(seconds) * time.Second}
}

// What is read to its end leaves the connection for the next request.
func drain(body io.ReadCloser) {
	io.Copy(io.Discard, io.LimitReader(body, problemBytes))
	body.Close()
}

// Waits between tries: longer each time, and never the same for all.
type backoff struct {
	what     string
	wait     time.Duration
	saidAt   time.Time
	tryCount int
}

func (b *backoff) pause(ctx context.Context, cause error) error {
	b.tryCount++
	if b.wait == 0 {
		b.wait = retryWait
	}
	wait := b.wait/4 + time.Duration(rand.Int63n(int64(b.wait)))
	var answer statusError
	if errors.As(cause, &answer) && answer.retryAfter > wait {
		wait = answer.retryAfter
	}
	if wait > retryWaitMax {
		wait = retryWaitMax
	}
	if b.wait *= 2; b.wait > retryWaitMax {
		b.wait = retryWaitMax
	}
	if now := time.Now(); now.Sub(b.saidAt) > sayAgainAfter {
		b.saidAt = now
		say("%s: %v; it is tried again", b.what, cause)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait):
		return nil
	}
}

// Repeats until it is done, refused for good, or not wanted any more.
func persist(ctx context.Context, what string, act func() error) error {
	waits := backoff{what: what}
	for {
		err := act()
		var fenced fencedError
		var refused refusedError
		if err == nil || errors.As(err, &fenced) || errors.As(err, &refused) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := waits.pause(ctx, err); err != nil {
			return err
		}
	}
}

// Cancels a transfer whose bytes have stopped to move.
type watchdog struct {
	reader io.Reader
	timer  *time.Timer
}

func watch(reader io.Reader, cancel func()) *watchdog {
	return &watchdog{reader, time.AfterFunc(stallWait, cancel)}
}

func (w *watchdog) Read(buffer []byte) (int, error) {
	n, err := w.reader.Read(buffer)
	w.timer.Reset(stallWait)
	return n, err
}

func (w *watchdog) stop() { w.timer.Stop() }
