package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"unicode/utf8"
)

// As the protocol has it; the two logs are among them.
const artifactsMax = 100_000

// So many files go by one question to the control plane.
const batchFiles = 500

type result struct {
	role, path, file string
}

// What the task leaves: its logs, then the outputs its globs name, in order.
func findResults(folder string, patterns []string) ([]result, error) {
	var found []result
	for _, stream := range []string{"stdout", "stderr"} {
		file := filepath.Join(folder, stream)
		// An empty log is no object: most tasks write nothing to stderr.
		if info, err := os.Stat(file); err == nil && info.Size() > 0 {
			found = append(found, result{stream, stream, file})
		}
	}
	if len(patterns) == 0 {
		return found, nil
	}
	outputs, err := findOutputs(filepath.Join(folder, "work"), patterns)
	if len(outputs) > artifactsMax-2 {
		return found, fmt.Errorf("its outputs match %d files; at most %d may", len(outputs), artifactsMax-2)
	}
	return append(found, outputs...), err
}

// Regular files only: reading a named pipe would wait for ever. Links are not followed. A name that
// is no text cannot be kept, which is told of the last of them.
func findOutputs(work string, patterns []string) ([]result, error) {
	globs, err := parseGlobs(patterns)
	if err != nil {
		return nil, err
	}
	var found []result
	var notText error
	filepath.WalkDir(work, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil // A folder that its own program removed has no files.
		}
		if entry.IsDir() {
			open(file, entry, 0o700)
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		name := strings.TrimPrefix(file, work+"/")
		if !globs.match(name) {
			return nil
		}
		if !utf8.ValidString(name) {
			notText = fmt.Errorf("the name of its output %+q is no UTF-8", name)
			return nil
		}
		open(file, entry, 0o400)
		found = append(found, result{"output", name, file})
		return nil
	})
	sort.Slice(found, func(i, j int) bool { return found[i].path < found[j].path })
	return found, notText
}

// What a program closed to others it may have closed to itself, and the runner is the same user.
func open(file string, entry fs.DirEntry, needed fs.FileMode) {
	if info, err := entry.Info(); err == nil && info.Mode()&needed != needed {
		os.Chmod(file, info.Mode()|needed)
	}
}

func hashFile(path string) (object, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return object{}, err
	}
	defer file.Close()
	hash := sha256.New()
	count, err := io.CopyBuffer(onlyWriter{hash}, onlyReader{file}, make([]byte, chunkBytes))
	return object{hex.EncodeToString(hash.Sum(nil)), count}, err
}

// Hides WriteTo, which would take buffers of its own.
type onlyReader struct{ io.Reader }

// Stores what was found, a batch at a time, and answers with what is stored: also when not all can be.
func storeResults(ctx context.Context, a *api, found []result) ([]artifact, error) {
	artifacts := make([]artifact, 0, len(found))
	var failure error
	for len(found) > 0 {
		batch := found
		if len(batch) > batchFiles {
			batch = batch[:batchFiles]
		}
		found = found[len(batch):]
		stored, err := storeBatch(ctx, a, batch)
		artifacts = append(artifacts, stored...)
		var refused refusedError
		if err != nil && !errors.As(err, &refused) {
			return artifacts, err
		}
		if failure == nil {
			failure = err
		}
	}
	return artifacts, failure
}

func storeBatch(ctx context.Context, a *api, batch []result) ([]artifact, error) {
	pending := map[string]upload{}
	artifacts := make([]artifact, 0, len(batch))
	var unreadable error
	for _, one := range batch {
		content, err := hashFile(one.file)
		if err != nil {
			unreadable = refusedError{fmt.Sprintf("%s cannot be read: %v", one.path, unwrap(err))}
			continue
		}
		pending[content.Object] = upload{object: content, path: one.path, file: one.file}
		artifacts = append(artifacts, artifact{one.role, one.path, content.Object, content.SizeBytes})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	if err := uploadAll(ctx, a, pending); err != nil {
		return without(artifacts, pending), err
	}
	return artifacts, unreadable
}

func without(artifacts []artifact, pending map[string]upload) []artifact {
	stored := artifacts[:0]
	for _, one := range artifacts {
		if _, isPending := pending[one.Object]; !isPending {
			stored = append(stored, one)
		}
	}
	return stored
}

// What does not fit into the message is an object of its own.
func storeManifest(ctx context.Context, a *api, folder string, artifacts []artifact) (*object, error) {
	text, err := json.Marshal(map[string]any{"artifacts": artifacts})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(folder, "manifest.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, err
	}
	content, err := hashFile(file)
	if err != nil {
		return nil, err
	}
	one := upload{object: content, path: "the list of its outputs", file: file}
	return &content, uploadAll(ctx, a, map[string]upload{content.Object: one})
}

// A message of how the program ended with all that it left, stored if it can be.
func collect(ctx context.Context, a *api, t *task, folder string, end message) message {
	found, findErr := findResults(folder, t.Outputs)
	artifacts, err := storeResults(ctx, a, found)
	if err == nil {
		err = findErr
	}
	end.Artifacts = &artifacts
	if !end.fits() {
		end.Artifacts = nil
		manifest, manifestErr := storeManifest(ctx, a, folder, artifacts)
		if manifestErr == nil {
			end.Manifest = manifest
		} else if err == nil {
			err = manifestErr
		}
	}
	var fenced fencedError
	if errors.As(err, &fenced) {
		return message{Kind: "fenced", AttemptID: end.AttemptID, Reason: fenced.why}
	}
	if errors.Is(err, context.Canceled) {
		end.IsCutOff = true
		err = errors.New("the pod was ended before they were")
	}
	if err != nil {
		end.Unstored = err.Error()
	}
	return end
}
