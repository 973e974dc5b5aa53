package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// As ssh ends when it cannot reach a host.
const launchFailed = 255

// Runs `majorana-launch HOST COMMAND…` as mpirun calls ssh: the words are joined and a shell of the
// worker reads them. Its exit code is the command's.
func launch(args []string) int {
	code, err := launchOn(args)
	if err != nil {
		say("%v", err)
		return launchFailed
	}
	return code
}

func launchOn(args []string) (int, error) {
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		args = args[1:]
	}
	if len(args) < 2 {
		return 0, errors.New("usage: " + launcherName + " HOST COMMAND…")
	}
	host := args[0]
	conn, err := reach(host)
	if err != nil {
		return 0, fmt.Errorf("%s: %v", host, err)
	}
	defer conn.Close()
	f := &frames{conn: conn}
	if err := f.send(frameCommand, []byte(strings.Join(args[1:], " "))); err != nil {
		return 0, fmt.Errorf("%s: %v", host, err)
	}
	go passInput(f)
	go passSignals(f)
	end, err := passOutput(f)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%s: its node is gone: %v", host, err)
	case end.Error != "":
		return 0, fmt.Errorf("%s: %s", host, end.Error)
	case end.Signal > 0:
		return 128 + end.Signal, nil
	}
	return end.ExitCode, nil
}

func reach(host string) (net.Conn, error) {
	folder := fromEnv("MAJORANA_GANG_FOLDER", filepath.Dir(os.Args[0]))
	text, err := os.ReadFile(filepath.Join(folder, "addresses.json"))
	if err != nil {
		return nil, err
	}
	var file gangFile
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	address, found := file.Addresses[host]
	if !found {
		return nil, errors.New("it is no other node of this gang")
	}
	dialer := net.Dialer{Timeout: 30 * time.Second, KeepAlive: launchKeepAlive}
	conn, err := dialer.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return conn, giveProof(conn, file.Key)
}

func passInput(f *frames) {
	io.Copy(frameWriter{f, frameInput}, os.Stdin)
	f.send(frameInputEnd, nil)
}

func passSignals(f *frames) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	for number := range signals {
		f.send(frameSignal, []byte{byte(number.(syscall.Signal))})
	}
}

func passOutput(f *frames) (launchEnd, error) {
	var end launchEnd
	for {
		kind, data, err := f.receive()
		if err != nil {
			return end, err
		}
		switch kind {
		case frameOutput:
			os.Stdout.Write(data)
		case frameErrors:
			os.Stderr.Write(data)
		case frameEnd:
			return end, json.Unmarshal(data, &end)
		}
	}
}
