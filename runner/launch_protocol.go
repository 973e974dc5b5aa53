package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// Between a launcher and a worker: the worker sends a nonce and the launcher its HMAC, so that the
// key never travels; then frames of a kind, a length and that many bytes.
const (
	frameCommand = 'c'
	frameInput   = 'i'
	// No bytes: the launcher's input is at its end.
	frameInputEnd = 'e'
	// One byte, the number.
	frameSignal = 's'
	frameOutput = 'o'
	frameErrors = 'r'
	// JSON of a launchEnd.
	frameEnd = 'x'

	nonceBytes    = 32
	frameBytesMax = 1 << 20
	// Who has not proved its key by then is nobody's launcher.
	proofWait = 10 * time.Second
	// A head that is silent for so long is gone: its kernel answers for it.
	launchKeepAlive = 15 * time.Second
)

type launchEnd struct {
	ExitCode int    `json:"exitCode"`
	Signal   int    `json:"signal,omitempty"`
	Error    string `json:"error,omitempty"`
}

type frames struct {
	conn net.Conn
	lock sync.Mutex
}

func (f *frames) send(kind byte, data []byte) error {
	f.lock.Lock()
	defer f.lock.Unlock()
	head := make([]byte, 5, 5+len(data))
	head[0] = kind
	binary.BigEndian.PutUint32(head[1:], uint32(len(data)))
	_, err := f.conn.Write(append(head, data...))
	return err
}

func (f *frames) receive() (byte, []byte, error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(f.conn, head); err != nil {
		return 0, nil, err
	}
	length := binary.BigEndian.Uint32(head[1:])
	if length > frameBytesMax {
		return 0, nil, errors.New("a frame is too long")
	}
	data := make([]byte, length)
	_, err := io.ReadFull(f.conn, data)
	return head[0], data, err
}

// A writer of one kind of frame.
type frameWriter struct {
	frames *frames
	kind   byte
}

func (w frameWriter) Write(data []byte) (int, error) {
	if err := w.frames.send(w.kind, data); err != nil {
		return 0, err
	}
	return len(data), nil
}

func proof(key, nonce []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(nonce)
	return mac.Sum(nil)
}

// The worker's side; false for whoever has not the key.
func demandProof(conn net.Conn, key []byte) bool {
	conn.SetDeadline(time.Now().Add(proofWait))
	defer conn.SetDeadline(time.Time{})
	nonce := make([]byte, nonceBytes)
	if _, err := rand.Read(nonce); err != nil {
		return false
	}
	if _, err := conn.Write(nonce); err != nil {
		return false
	}
	given := make([]byte, sha256.Size)
	if _, err := io.ReadFull(conn, given); err != nil {
		return false
	}
	return hmac.Equal(given, proof(key, nonce))
}

func giveProof(conn net.Conn, key []byte) error {
	conn.SetDeadline(time.Now().Add(proofWait))
	defer conn.SetDeadline(time.Time{})
	nonce := make([]byte, nonceBytes)
	if _, err := io.ReadFull(conn, nonce); err != nil {
		return err
	}
	_, err := conn.Write(proof(key, nonce))
	return err
}
