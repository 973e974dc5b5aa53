// The runner starts one task's program in any image and brings its results home. It needs nothing of
// the image: it is one static file, put beside it. What it does is in docs/decisions/0010-kubernetes.md.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// The hash of the sources, set by the build.
var version = "unknown"

const usage = `usage: majorana-runner install FOLDER
       majorana-runner run [--folder FOLDER] [--message FILE] [--grace-ms N] [--ca-file FILE]
       majorana-runner --version
`

type config struct {
	url, attemptID, token string
	// Holds work, scratch, stdout and stderr.
	folder string
	// Where how it ended is written, as JSON of less than 4096 bytes.
	message string
	// From a TERM to the KILL of whoever sends it.
	grace time.Duration
	// Certificates to trust beside those of the image, which may have none.
	caFile string
	// Of a task on several pods: which of them this is, and where a launcher reaches it.
	nodeRank int
	address  string
}

func init() {
	// The death signal of a child goes by the thread that forked it: all forks are done by the first
	// thread, which lives as long as the process.
	runtime.LockOSThread()
	runtime.GOMAXPROCS(2)
	debug.SetGCPercent(50)
}

func main() {
	args := os.Args[1:]
	switch {
	case filepath.Base(os.Args[0]) == launcherName:
		os.Exit(launch(args))
	case len(args) == 2 && args[0] == "install":
		exit(install(args[1], imageCAFile))
	case len(args) >= 1 && args[0] == "run":
		c, err := readConfig(args[1:])
		if err == nil {
			err = run(c)
		}
		exit(err)
	case len(args) == 1 && args[0] == "--version":
		fmt.Println(version)
	default:
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
}

// A pod's container never restarts for the exit code of its program: that is in the message, and the
// runner's own is 0 as soon as the message is written.
func exit(err error) {
	if err == nil {
		os.Exit(0)
	}
	say("%v", err)
	os.Exit(1)
}

func say(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "majorana-runner: "+format+"\n", values...)
}

func fromEnv(name, otherwise string) string {
	if value, found := os.LookupEnv(name); found {
		return value
	}
	return otherwise
}

func readConfig(args []string) (config, error) {
	var c config
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	flags.StringVar(&c.folder, "folder", fromEnv("MAJORANA_RUNNER_FOLDER", "/majorana"), "where the task lives")
	flags.StringVar(&c.message, "message", fromEnv("MAJORANA_RUNNER_MESSAGE", "/dev/termination-log"), "the termination message")
	flags.StringVar(&c.caFile, "ca-file", fromEnv("MAJORANA_RUNNER_CA_FILE", installedCAFile()), "certificates to trust")
	graceMs := flags.String("grace-ms", fromEnv("MAJORANA_RUNNER_GRACE_MS", "30000"), "from TERM to KILL of the pod")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	ms, err := strconv.ParseInt(*graceMs, 10, 64)
	if err != nil || ms < 0 {
		return c, fmt.Errorf("--grace-ms %s: milliseconds are needed", *graceMs)
	}
	c.grace = time.Duration(ms) * time.Millisecond
	rank := fromEnv("MAJORANA_RUNNER_NODE_RANK", "0")
	if c.nodeRank, err = strconv.Atoi(rank); err != nil || c.nodeRank < 0 {
		return c, fmt.Errorf("MAJORANA_RUNNER_NODE_RANK=%s: a number from 0 is needed", rank)
	}
	// Without an address it would listen on all there are.
	if c.address = os.Getenv("MAJORANA_RUNNER_ADDRESS"); c.nodeRank > 0 && c.address == "" {
		return c, errors.New("MAJORANA_RUNNER_ADDRESS is needed: where the head reaches this pod")
	}
	c.url = strings.TrimRight(os.Getenv("MAJORANA_RUNNER_URL"), "/")
	c.attemptID = os.Getenv("MAJORANA_ATTEMPT_ID")
	if c.token, err = readToken(); err != nil {
		return c, err
	}
	if c.url == "" || c.attemptID == "" || c.token == "" {
		return c, errors.New("MAJORANA_RUNNER_URL, MAJORANA_ATTEMPT_ID and MAJORANA_RUNNER_TOKEN (or _TOKEN_FILE) are needed")
	}
	c.folder, err = filepath.Abs(c.folder)
	return c, err
}

func readToken() (string, error) {
	file := os.Getenv("MAJORANA_RUNNER_TOKEN_FILE")
	if file == "" {
		return os.Getenv("MAJORANA_RUNNER_TOKEN"), nil
	}
	text, err := os.ReadFile(file)
	return strings.TrimSpace(string(text)), err
}
