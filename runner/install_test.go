package main

import (
	"context"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestInstallBringsProgramAndAuthorities(t *testing.T) {
	folder, ca := t.TempDir(), filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, []byte("authorities"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range [2]int{} {
		if err := install(filepath.Join(folder, "majorana"), ca); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(folder, "majorana", "ca.crt"))
	if err != nil || string(text) != "authorities" {
		t.Fatalf("%q, %v", text, err)
	}
	info, err := os.Stat(filepath.Join(folder, "majorana", "majorana-runner"))
	if err != nil || info.Mode().Perm() != 0o755 || info.Size() == 0 {
		t.Fatalf("%v, %v", info, err)
	}
}

func TestInstallGoesOnWithoutAuthorities(t *testing.T) {
	folder := t.TempDir()
	if err := install(folder, filepath.Join(folder, "none")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(folder, "ca.crt")); !os.IsNotExist(err) {
		t.Fatal(err)
	}
}

func TestTrustsTheInstalledAuthoritiesAndNoOther(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(`{"attemptId":"job_1.0.1"}`))
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "ca.crt")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	ask := func(caFile string) error {
		a, err := newAPI(config{url: server.URL, attemptID: "job_1.0.1", token: "t", caFile: caFile})
		if err != nil {
			return err
		}
		var answer task
		return a.exchange(context.Background(), http.MethodGet, "/task", nil, &answer, 10*time.Second)
	}
	if err := ask(file); err != nil {
		t.Fatal(err)
	}
	if err := ask(""); err == nil || !strings.Contains(err.Error(), "x509") {
		t.Fatalf("a server of an unknown authority was trusted: %v", err)
	}
}
