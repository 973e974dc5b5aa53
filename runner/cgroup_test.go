package main

import (
	"os"
	"path/filepath"
	"testing"
)

// Lays files as a kernel would have them.
func files(t *testing.T, contents map[string]string) string {
	root := t.TempDir()
	for name, content := range contents {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestAContainersGroupIsReadInVersion2(t *testing.T) {
	root := files(t, map[string]string{
		"cgroup.controllers": "cpu memory\n",
		"memory.max":         "536870912\n",
		"memory.peak":        "104857600\n",
		"memory.events":      "low 0\nhigh 0\nmax 7\noom 1\noom_kill 2\noom_group_kill 0\n",
		"cpu.stat":           "usage_usec 1234567\nuser_usec 1000000\n",
	})
	group := findCgroup(root, "0::/\n")
	if !group.exists() || group.oomKills() != 2 || group.peakBytes() != 104857600 || group.cpuUs() != 1234567 {
		t.Errorf("%+v: %d kills, %d bytes, %d us", group, group.oomKills(), group.peakBytes(), group.cpuUs())
	}
}

func TestAContainersGroupIsReadInVersion1AtThePathOfTheHostAndWithout(t *testing.T) {
	contents := map[string]string{
		"memory/memory.limit_in_bytes":     "536870912\n",
		"memory/memory.max_usage_in_bytes": "104857600\n",
		"memory/memory.oom_control":        "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
		"cpuacct/cpuacct.usage":            "1234567000\n",
	}
	for _, prefix := range []string{"", "kubepods/pod1/"} {
		moved := map[string]string{}
		for name, content := range contents {
			moved[filepath.Dir(name)+"/"+prefix+filepath.Base(name)] = content
		}
		group := findCgroup(files(t, moved), "5:memory:/kubepods/pod1\n3:cpu,cpuacct:/kubepods/pod1\n")
		if !group.exists() || group.oomKills() != 2 || group.peakBytes() != 104857600 || group.cpuUs() != 1234567 {
			t.Errorf("%+v: %d kills, %d bytes, %d us", group, group.oomKills(), group.peakBytes(), group.cpuUs())
		}
	}
}

func TestAGroupWithoutALimitIsNotTakenForTheContainers(t *testing.T) {
	for name, root := range map[string]string{
		"version 2":      files(t, map[string]string{"cgroup.controllers": "", "memory.max": "max\n"}),
		"version 2 root": files(t, map[string]string{"cgroup.controllers": ""}),
		"version 1":      files(t, map[string]string{"memory/memory.limit_in_bytes": "9223372036854771712\n"}),
		"none":           files(t, map[string]string{}),
	} {
		if group := findCgroup(root, "0::/\n"); group.exists() || group.oomKills() != 0 {
			t.Errorf("%s: %+v", name, group)
		}
	}
}
