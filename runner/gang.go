package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// A gang is one task on several pods. The runner of the first, the head, starts the program; those of
// the others lay in the inputs and start what the head's launcher asks for. How they meet is in
// docs/decisions/0012-gangs.md.
type gang struct {
	Nodes        int `json:"nodes"`
	RanksPerNode int `json:"ranksPerNode"`
}

// As `majorana-launch` a copy of the runner is what ssh is to mpirun.
const launcherName = "majorana-launch"

type gangNews struct {
	NodeRank int    `json:"nodeRank"`
	Address  string `json:"address,omitempty"`
	WaitMs   int64  `json:"waitMs"`
}

// Of all nodes by their rank, the head's empty; absent until all have said theirs.
type gangAnswer struct {
	Addresses []string `json:"addresses"`
}

// What a launcher needs, in a file that only the task's user reads: nothing secret is in arguments.
type gangFile struct {
	Key       []byte            `json:"key"`
	Addresses map[string]string `json:"addresses"`
}

// Proves to a worker that a launcher belongs to its gang: all its runners have one token.
func gangKey(token string) []byte {
	key := hmac.New(sha256.New, []byte(token))
	key.Write([]byte("launch"))
	return key.Sum(nil)
}

// `job_42.17.2` on its second node is `majorana-42-17-2-1`, as its pod is called.
func nodeName(attemptID string, nodeRank int) string {
	numbers := strings.ReplaceAll(strings.TrimPrefix(attemptID, "job_"), ".", "-")
	return fmt.Sprintf("majorana-%s-%d", numbers, nodeRank)
}

func gangFolder(folder string) string { return filepath.Join(folder, "gang") }

// Waits until every worker has said where it listens.
func (r *runner) gather(ctx context.Context, t *task) error {
	waits := backoff{what: "the other nodes of the gang"}
	for {
		var answer gangAnswer
		news := gangNews{WaitMs: linkWait.Milliseconds()}
		err := r.api.exchange(ctx, http.MethodPost, "/gang", news, &answer, linkWait+answerWait)
		var fenced fencedError
		if ctx.Err() != nil || errors.As(err, &fenced) {
			return err
		}
		if err != nil {
			if err := waits.pause(ctx, err); err != nil {
				return err
			}
			continue
		}
		if len(answer.Addresses) == t.Gang.Nodes {
			return r.writeGang(t, answer.Addresses)
		}
	}
}

func (r *runner) writeGang(t *task, addresses []string) error {
	folder := gangFolder(r.config.folder)
	if err := linkLauncher(r.config.folder); err != nil {
		return err
	}
	own, err := os.Hostname()
	if err != nil {
		return err
	}
	names := []string{own}
	file := gangFile{gangKey(r.config.token), map[string]string{}}
	for nodeRank := 1; nodeRank < len(addresses); nodeRank++ {
		name := nodeName(r.config.attemptID, nodeRank)
		names = append(names, name)
		file.Addresses[name] = addresses[nodeRank]
	}
	text, err := json.Marshal(file)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "addresses.json"), text, 0o600); err != nil {
		return err
	}
	if err := writeHosts(hostfile(r.config.folder), "%s slots=%d\n", names, t.Gang.RanksPerNode); err != nil {
		return err
	}
	if err := writeAddresses(r.config, names, addresses); err != nil {
		return err
	}
	// Hydra's daemons call back at the name of the head, which no other pod can look up. A colon would
	// be read as what stands between name and ranks.
	if r.config.address != "" && !strings.Contains(r.config.address, ":") {
		names[0] = r.config.address
	}
	return writeHosts(hydraHostfile(r.config.folder), "%s:%d\n", names, t.Gang.RanksPerNode)
}

// As /etc/hosts has them, for programs that meet by themselves: no pod can look up another's name.
func writeAddresses(c config, names, addresses []string) error {
	var lines strings.Builder
	if c.address != "" {
		fmt.Fprintf(&lines, "%s %s\n", c.address, names[0])
	}
	for nodeRank := 1; nodeRank < len(addresses); nodeRank++ {
		address, _, err := net.SplitHostPort(addresses[nodeRank])
		if err != nil {
			return err
		}
		fmt.Fprintf(&lines, "%s %s\n", address, names[nodeRank])
	}
	return os.WriteFile(addressFile(c.folder), []byte(lines.String()), 0o600)
}

func writeHosts(path, line string, names []string, ranks int) error {
	var hosts strings.Builder
	for _, name := range names {
		fmt.Fprintf(&hosts, line, name, ranks)
	}
	return os.WriteFile(path, []byte(hosts.String()), 0o600)
}

func hostfile(folder string) string      { return filepath.Join(gangFolder(folder), "hostfile") }
func addressFile(folder string) string   { return filepath.Join(gangFolder(folder), "hosts") }
func hydraHostfile(folder string) string { return filepath.Join(gangFolder(folder), "hostfile.hydra") }

// On a worker too: each daemon of Open MPI looks whether the launcher is there, and never starts it.
func linkLauncher(folder string) error {
	if err := os.MkdirAll(gangFolder(folder), 0o700); err != nil {
		return err
	}
	path := filepath.Join(gangFolder(folder), launcherName)
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink(program, path)
}

// What a program of a gang is told, and MPI with it: a plain `mpirun ./program` uses all nodes.
func gangVariables(g *gang, folder string, nodeRank int) map[string]string {
	launcher := filepath.Join(gangFolder(folder), launcherName)
	return map[string]string{
		"MAJORANA_NODES":          itoa(g.Nodes),
		"MAJORANA_RANKS_PER_NODE": itoa(g.RanksPerNode),
		"MAJORANA_NODE_RANK":      itoa(nodeRank),
		"MAJORANA_HOSTFILE":       hostfile(folder),
		"MAJORANA_HOSTS":          addressFile(folder),
		"MAJORANA_LAUNCHER":       launcher,

		"OMPI_MCA_orte_default_hostfile": hostfile(folder),
		"OMPI_MCA_plm_rsh_agent":         launcher,
		// Workers have no launcher: the head starts all daemons, and each stays its launcher's child.
		"OMPI_MCA_plm_rsh_no_tree_spawn":       "1",
		"OMPI_MCA_orte_leave_session_attached": "1",
		// Containers on one machine see the same cores: ranks of different tasks would be bound to the
		// first of them.
		"OMPI_MCA_hwloc_base_binding_policy": "none",

		// MPICH's, which binds to no cores by itself.
		"HYDRA_HOST_FILE":     hydraHostfile(folder),
		"HYDRA_LAUNCHER":      "ssh",
		"HYDRA_LAUNCHER_EXEC": launcher,
		// Its ranks find their own addresses: names of the hostfile are for the launcher alone.
		"HYDRA_HOSTNAME_PROPAGATION": "0",
	}
}

// Says again and again where this worker listens, so that a control plane that was started anew
// hears it too; and hears when its attempt is over.
func (w *worker) sayAddress(ctx context.Context, address string) {
	waits := backoff{what: "the control plane"}
	news := gangNews{NodeRank: w.config.nodeRank, Address: address, WaitMs: linkWait.Milliseconds()}
	for ctx.Err() == nil {
		var answer gangAnswer
		err := w.api.exchange(ctx, http.MethodPost, "/gang", news, &answer, linkWait+answerWait)
		var fenced fencedError
		if errors.As(err, &fenced) {
			w.orders.end(endByFence)
			return
		}
		if err != nil && (ctx.Err() != nil || waits.pause(ctx, err) != nil) {
			return
		}
		if err == nil {
			waits.wait = 0
		}
	}
}
