/*
 * Starts tasks and guards them. `serve` forks one shim for each attempt folder named on stdin; the
 * shim outlives every other process of the product and writes how the program ended.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SOURCE_SHA256
#define SOURCE_SHA256 "unknown"
#endif

/*
 * Tree memory is sampled this often at most, and never for more than 1 % of a core (up to 2 s). 64
 * tasks of one process take 3 % of one core together, 64 of 64 threads each 19 %.
 */
#define TICK_MS 100
#define TICK_MS_MAX 2000
/* What a program left behind gets this long after TERM. */
#define LEFTOVER_GRACE_MS 2000
#define RECORD_MAX 1024
#define EXIT_ALREADY_STARTED 3

struct spec {
  char *buffer;
  const char *cwd, *out, *err, *cgroup, *exit_file;
  char **argv, **envp;
  int argc, envc;
  int64_t time_limit_ms, grace_ms, memory_max;
};

struct run {
  pid_t child;
  int status, child_ended, leftover, oom;
  int64_t started_ms, ended_ms, cpu_us, peak_bytes, tick_ms;
  const char *ended_by;
  char error[512];
};

static volatile sig_atomic_t cancel_requested;

static void on_term(int number) {
  (void)number;
  cancel_requested = 1;
}

static int64_t clock_us(clockid_t id) {
  struct timespec t;
  clock_gettime(id, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int64_t clock_ms(clockid_t id) {
  return clock_us(id) / 1000;
}

static ssize_t read_file(const char *path, char *buffer, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t total = 0, n;
  while ((size_t)total < size - 1 && (n = read(fd, buffer + total, size - 1 - total)) > 0) {
    total += n;
  }
  close(fd);
  buffer[total] = 0;
  return total;
}

/* --- the spec: key NUL value NUL, written by the agent --- */

static void spec_set(struct spec *s, const char *key, char *value) {
  if (!strcmp(key, "cwd")) s->cwd = value;
  else if (!strcmp(key, "stdout")) s->out = value;
  else if (!strcmp(key, "stderr")) s->err = value;
  else if (!strcmp(key, "cgroup")) s->cgroup = value;
  else if (!strcmp(key, "exit")) s->exit_file = value;
  else if (!strcmp(key, "arg")) s->argv[s->argc++] = value;
  else if (!strcmp(key, "env")) s->envp[s->envc++] = value;
  else if (!strcmp(key, "timeLimitMs")) s->time_limit_ms = atoll(value);
  else if (!strcmp(key, "graceMs")) s->grace_ms = atoll(value);
  else if (!strcmp(key, "memoryBytesMax")) s->memory_max = atoll(value);
}

static int spec_read(const char *dir, struct spec *s) {
  char path[PATH_MAX];
  struct stat st;
  memset(s, 0, sizeof *s);
  s->cwd = s->cgroup = "";
  s->out = s->err = "/dev/null";
  s->grace_ms = 10000;
  snprintf(path, sizeof path, "%s/spec", dir);
  if (stat(path, &st) != 0) return -1;
  s->buffer = malloc(st.st_size + 1);
  if (!s->buffer || read_file(path, s->buffer, st.st_size + 1) != st.st_size) return -1;
  size_t records = 2;
  for (off_t i = 0; i < st.st_size; i++) records += s->buffer[i] == 0;
  s->argv = calloc(records, sizeof *s->argv);
  s->envp = calloc(records, sizeof *s->envp);
  if (!s->argv || !s->envp) return -1;
  char *end = s->buffer + st.st_size;
  for (char *p = s->buffer; p < end;) {
    char *key = p, *value = key + strlen(key) + 1;
    if (value >= end) break;
    spec_set(s, key, value);
    p = value + strlen(value) + 1;
  }
  return s->argc > 0 && s->exit_file ? 0 : -1;
}

/* --- the process tree: the shim is the subreaper, so nothing escapes it --- */

struct member {
  pid_t pid, parent;
};
static struct {
  struct member *members;
  int count, size;
} tree;

static void tree_add(pid_t pid, pid_t parent) {
  if (tree.count == tree.size) {
    int size = tree.size ? tree.size * 2 : 64;
    struct member *members = realloc(tree.members, size * sizeof *members);
    if (!members) return; /* What is missed now is found by the next round. */
    tree.members = members;
    tree.size = size;
  }
  tree.members[tree.count++] = (struct member){pid, parent};
}

static void add_children(pid_t parent) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/task", parent);
  DIR *tasks = opendir(path);
  if (!tasks) return;
  struct dirent *entry;
  while ((entry = readdir(tasks))) {
    char file[128];
    int pid;
    if (entry->d_name[0] == '.') continue;
    snprintf(file, sizeof file, "/proc/%d/task/%.20s/children", parent, entry->d_name);
    FILE *children = fopen(file, "re");
    if (!children) continue;
    while (fscanf(children, "%d", &pid) == 1) tree_add(pid, parent);
    fclose(children);
  }
  closedir(tasks);
}

/* All descendants of this shim. */
static int find_tree(void) {
  tree.count = 0;
  add_children(getpid());
  for (int i = 0; i < tree.count; i++) add_children(tree.members[i].pid);
  return tree.count;
}

static pid_t parent_of(pid_t pid) {
  char path[64], text[512];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  char *end = read_file(path, text, sizeof text) > 0 ? strrchr(text, ')') : NULL;
  return end && strlen(end) > 4 ? atoi(end + 4) : -1;
}

/*
 * The number of a process that has ended may be another's by now. The descriptor fixes who is
 * meant, and whoever is not the child of its parent or of the shim is left alone.
 */
static void signal_member(struct member member, int number) {
  int fd = syscall(SYS_pidfd_open, member.pid, 0);
  if (fd < 0) {
    if (errno != ESRCH) kill(member.pid, number); /* Before Linux 5.3, or forbidden. */
    return;
  }
  pid_t parent = parent_of(member.pid);
  if (parent == member.parent || parent == getpid()) {
    syscall(SYS_pidfd_send_signal, fd, number, NULL, 0);
  }
  close(fd);
}

static void signal_tree(int number) {
  int count = find_tree();
  for (int i = 0; i < count; i++) signal_member(tree.members[i], number);
}

static int64_t resident_bytes(pid_t pid) {
  char path[64], text[256];
  long long size, resident;
  snprintf(path, sizeof path, "/proc/%d/statm", pid);
  if (read_file(path, text, sizeof text) <= 0) return 0;
  return sscanf(text, "%lld %lld", &size, &resident) == 2 ? resident * sysconf(_SC_PAGESIZE) : 0;
}

static int64_t proportional_bytes(pid_t pid) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
  char *at = read_file(path, text, sizeof text) > 0 ? strstr(text, "\nPss:") : NULL;
  return at ? atoll(at + 5) * 1024 : resident_bytes(pid);
}

/*
 * Memory of the tree. Forked workers share pages, and the sum of what is resident counts those once
 * for each: 16 workers on 10 GB are not 160 GB. Each page is counted once where it matters, above
 * what is known to be harmless; the kernel walks all page tables for that.
 */
static int64_t tree_bytes(int64_t harmless) {
  int count = find_tree();
  int64_t bytes = 0, shared_once = 0;
  for (int i = 0; i < count; i++) bytes += resident_bytes(tree.members[i].pid);
  if (count < 2 || bytes <= harmless) return bytes;
  for (int i = 0; i < count; i++) shared_once += proportional_bytes(tree.members[i].pid);
  return shared_once;
}

static void sample(const struct spec *s, struct run *r) {
  int64_t begun = clock_us(CLOCK_PROCESS_CPUTIME_ID);
  int64_t harmless = r->peak_bytes;
  if (s->memory_max > 0 && s->memory_max < harmless) harmless = s->memory_max;
  int64_t bytes = tree_bytes(harmless);
  if (bytes > r->peak_bytes) r->peak_bytes = bytes;
  if (s->memory_max > 0 && !s->cgroup[0] && bytes > s->memory_max) r->ended_by = "memory";
  r->tick_ms = (clock_us(CLOCK_PROCESS_CPUTIME_ID) - begun) / 10;
  if (r->tick_ms < TICK_MS) r->tick_ms = TICK_MS;
  if (r->tick_ms > TICK_MS_MAX) r->tick_ms = TICK_MS_MAX;
}

/* Reaps everything that has ended; returns 0 once no descendant is left. */
static int reap(struct run *r) {
  struct rusage usage;
  int status;
  for (;;) {
    pid_t pid = wait4(-1, &status, WNOHANG, &usage);
    if (pid < 0) return errno == ECHILD ? 0 : 1;
    if (pid == 0) return 1;
    r->cpu_us += (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000LL;
    r->cpu_us += usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
    if (usage.ru_maxrss * 1024LL > r->peak_bytes) r->peak_bytes = usage.ru_maxrss * 1024LL;
    if (pid == r->child) {
      r->status = status;
      r->child_ended = 1;
      r->ended_ms = clock_ms(CLOCK_REALTIME);
    }
  }
}

static void wait_tick(int64_t ms) {
  sigset_t set;
  struct timespec t = {ms / 1000, (ms % 1000) * 1000000};
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigaddset(&set, SIGTERM);
  if (sigtimedwait(&set, NULL, &t) == SIGTERM) cancel_requested = 1;
}

/* TERM to the tree, KILL after the grace, until nothing is left. */
static void end_tree(struct run *r, int64_t grace_ms) {
  int64_t kill_at = clock_ms(CLOCK_MONOTONIC) + grace_ms;
  if (grace_ms > 0) signal_tree(SIGTERM);
  while (reap(r)) {
    int64_t left = kill_at - clock_ms(CLOCK_MONOTONIC);
    if (left <= 0) {
      /* Stopped first, a program that forks all the time does not outrun the second round. */
      signal_tree(SIGSTOP);
      signal_tree(SIGKILL);
    }
    wait_tick(left <= 0 || left > TICK_MS ? TICK_MS : left);
  }
}

/* --- starting the program --- */

static void child_fail(int fd, const char *what, const char *name) {
  char text[512];
  int length = snprintf(text, sizeof text, "%s: %s: %s", what, strerror(errno), name);
  if (length > (int)sizeof text - 1) length = sizeof text - 1;
  for (int i = 0; i < length; i++) if (text[i] == '\n') text[i] = ' ';
  if (write(fd, text, length) < 0) _exit(126);
  _exit(127);
}

static void redirect(int fd_error, const char *path, int target) {
  int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) child_fail(fd_error, "open", path);
  dup2(fd, target);
}

/*
 * A fork into the group, where the kernel can (version 2). Entering a group later waits for all
 * processors to pass a quiet point: 2 ms of a launch that takes 3.
 */
static pid_t fork_into(const char *cgroup, int *is_inside) {
  int fd = cgroup[0] ? open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
  struct clone_args args = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = fd};
  *is_inside = 1;
  pid_t pid = fd < 0 ? -1 : syscall(SYS_clone3, &args, sizeof args);
  if (fd >= 0) close(fd);
  if (pid >= 0) return pid;
  *is_inside = 0;
  return fork();
}

static void child_main(const struct spec *s, int fd_error, pid_t shim, int is_inside) {
  sigset_t none;
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != shim) _exit(126);
  if (s->cgroup[0] && !is_inside) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/cgroup.procs", s->cgroup);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "0", 1) != 1) child_fail(fd_error, "cgroup", path);
  }
  if (chdir(s->cwd) != 0) child_fail(fd_error, "chdir", s->cwd);
  int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
  dup2(in, 0);
  redirect(fd_error, s->out, 1);
  redirect(fd_error, s->err, 2);
  for (int i = 1; i < NSIG; i++) signal(i, SIG_DFL);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  execvpe(s->argv[0], s->argv, s->envp);
  child_fail(fd_error, "exec", s->argv[0]);
}

static void start_program(const struct spec *s, struct run *r) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) {
    snprintf(r->error, sizeof r->error, "pipe: %s", strerror(errno));
    return;
  }
  pid_t shim = getpid();
  int is_inside;
  r->child = fork_into(s->cgroup, &is_inside);
  if (r->child == 0) {
    environ = s->envp;
    child_main(s, fds[1], shim, is_inside);
  }
  close(fds[1]);
  if (r->child < 0) snprintf(r->error, sizeof r->error, "fork: %s", strerror(errno));
  else {
    ssize_t length = read(fds[0], r->error, sizeof r->error - 1);
    r->error[length > 0 ? length : 0] = 0;
  }
  close(fds[0]);
}

/* --- the exit record --- */

static int64_t cgroup_value(const char *cgroup, const char *file, const char *key) {
  char path[PATH_MAX], text[4096];
  snprintf(path, sizeof path, "%s/%s", cgroup, file);
  if (read_file(path, text, sizeof text) <= 0) return 0;
  if (!key) return atoll(text);
  char *at = strstr(text, key);
  return at ? atoll(at + strlen(key)) : 0;
}

/*
 * A group's own peak counts the page cache of files, which the kernel gives back under pressure;
 * the sampled sum may count what is shared more than once. Both are upper bounds: the lower is
 * told.
 */
static void read_cgroup(const struct spec *s, struct run *r) {
  if (!s->cgroup[0]) return;
  r->oom = cgroup_value(s->cgroup, "memory.events", "oom_kill ") > 0 ||
           cgroup_value(s->cgroup, "memory.oom_control", "oom_kill ") > 0;
  int64_t peak = cgroup_value(s->cgroup, "memory.peak", NULL);
  if (peak == 0) peak = cgroup_value(s->cgroup, "memory.max_usage_in_bytes", NULL);
  if (peak > 0 && peak < r->peak_bytes) r->peak_bytes = peak;
}

static int record_open(const struct spec *s, char *path) {
  snprintf(path, PATH_MAX, "%s.tmp", s->exit_file);
  return open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

/* Takes the record's room while there is some: a program may fill the disk. */
static void reserve_record(const struct spec *s) {
  char path[PATH_MAX], blank[RECORD_MAX] = {0};
  int fd = record_open(s, path);
  if (fd < 0) return;
  if (write(fd, blank, sizeof blank) < 0) unlink(path);
  close(fd);
}

/*
 * Written whole by the rename, and not forced to the disk: the page cache outlives every process,
 * and whatever a reboot finds of an attempt that was not collected is lost by rule.
 */
static int write_record(const struct spec *s, const struct run *r) {
  char path[PATH_MAX], text[RECORD_MAX];
  int n = 0, size = sizeof text;
  if (r->error[0]) n += snprintf(text + n, size - n, "error=%s\n", r->error);
  else {
    int is_signal = WIFSIGNALED(r->status);
    n += snprintf(text + n, size - n, is_signal ? "signal=%d\n" : "exit_code=%d\n",
                  is_signal ? WTERMSIG(r->status) : WEXITSTATUS(r->status));
  }
  n += snprintf(text + n, size - n,
    "ended_by=%s\noom=%d\npeak_memory_bytes=%lld\ncpu_time_ms=%lld\nstarted_at_ms=%lld\n"
    "ended_at_ms=%lld\nleftover=%d\n",
    r->ended_by, r->oom, (long long)r->peak_bytes, (long long)(r->cpu_us / 1000),
    (long long)r->started_ms, (long long)r->ended_ms, r->leftover);
  int fd = record_open(s, path);
  if (fd < 0) return -1;
  int ok = write(fd, text, n) == n && ftruncate(fd, n) == 0;
  close(fd);
  return ok ? rename(path, s->exit_file) : -1;
}

/* --- the shim --- */

/*
 * Only one process ever gets past this for a folder: nothing is run twice. The line says who:
 * process, its start in ticks, the boot of the machine, and the time.
 */
static int claim(const char *dir, int64_t now_ms) {
  char path[PATH_MAX], own[PATH_MAX], stat_text[1024], boot[64], line[256];
  if (read_file("/proc/self/stat", stat_text, sizeof stat_text) < 0) return -1;
  if (read_file("/proc/sys/kernel/random/boot_id", boot, sizeof boot) < 0) return -1;
  char *field = strrchr(stat_text, ')') + 2;
  for (int i = 3; i < 22; i++) field = strchr(field, ' ') + 1;
  boot[strcspn(boot, "\n")] = 0;
  int length = snprintf(line, sizeof line, "%d %lld %s %lld\n", getpid(), atoll(field), boot,
                        (long long)now_ms);
  snprintf(own, sizeof own, "%s/shim.%d", dir, getpid());
  snprintf(path, sizeof path, "%s/shim", dir);
  int fd = open(own, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return -1;
  int ok = write(fd, line, length) == length;
  close(fd);
  ok = ok && link(own, path) == 0; /* The line is whole from the first moment. */
  unlink(own);
  return ok ? 0 : -1;
}

static void guard(const struct spec *s, struct run *r) {
  int64_t begun = clock_ms(CLOCK_MONOTONIC), sample_at = begun + TICK_MS;
  int left;
  while (left = reap(r), !r->child_ended) {
    int64_t now = clock_ms(CLOCK_MONOTONIC), wake_at = sample_at;
    if (now >= sample_at) {
      sample(s, r);
      wake_at = sample_at = now + r->tick_ms;
    }
    if (cancel_requested) r->ended_by = "cancel";
    else if (s->time_limit_ms > 0 && now - begun >= s->time_limit_ms) r->ended_by = "time_limit";
    if (r->ended_by[0]) {
      end_tree(r, r->ended_by[0] == 'm' ? 0 : s->grace_ms);
      return;
    }
    int64_t limit_at = begun + s->time_limit_ms;
    if (s->time_limit_ms > 0 && limit_at < wake_at) wake_at = limit_at;
    wait_tick(wake_at > now ? wake_at - now : 1);
  }
  if (!left) return;
  r->leftover = find_tree();
  end_tree(r, s->grace_ms < LEFTOVER_GRACE_MS ? s->grace_ms : LEFTOVER_GRACE_MS);
}

/* One line, or none when nobody reads: the agent looks for itself too, and a shim never waits. */
static void tell_started(int notice, const char *dir) {
  char line[PATH_MAX + 16];
  struct pollfd writable = {.fd = notice, .events = POLLOUT};
  int length = snprintf(line, sizeof line, "started\t%s\n", dir);
  if (notice < 0) return;
  if (length <= PIPE_BUF && poll(&writable, 1, 0) == 1 && writable.revents == POLLOUT) {
    if (write(notice, line, length) < 0) length = 0;
  }
  close(notice);
}

static int shim_main(const char *dir, int notice) {
  struct spec s;
  struct run r = {.ended_by = ""};
  sigset_t set;
  r.started_ms = r.ended_ms = clock_ms(CLOCK_REALTIME);
  if (claim(dir, r.started_ms) != 0) {
    tell_started(notice, dir);
    return EXIT_ALREADY_STARTED;
  }
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, NULL);
  signal(SIGCHLD, SIG_DFL);
  signal(SIGTERM, on_term);
  signal(SIGINT, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  if (spec_read(dir, &s) != 0) return 2;
  reserve_record(&s);
  start_program(&s, &r);
  tell_started(notice, dir);
  if (r.error[0]) reap(&r);
  else guard(&s, &r);
  read_cgroup(&s, &r);
  /* A full disk may be emptied: ten minutes of tries. */
  for (int i = 0; i < 600 && write_record(&s, &r) != 0; i++) sleep(1);
  return 0;
}

/* --- modes --- */

static void start_shim(const char *dir) {
  pid_t pid = fork();
  if (pid < 0) {
    printf("error\t%s\t%s\n", dir, strerror(errno));
    return;
  }
  if (pid == 0) {
    setsid();
    int notice = dup3(1, 3, O_CLOEXEC);
    if (syscall(SYS_close_range, 4, ~0U, 0) != 0) {
      for (int i = 4; i < 1024; i++) close(i);
    }
    int fd = open("/dev/null", O_RDWR);
    for (int i = 0; i < 3; i++) dup2(fd, i);
    close(fd);
    _exit(shim_main(dir, notice));
  }
}

static int serve(void) {
  char line[PATH_MAX];
  signal(SIGCHLD, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = 0;
    if (!line[0]) continue;
    start_shim(line);
    fflush(stdout);
  }
  return 0;
}

/*
 * PostgreSQL refuses to run as root. As another user it must still reach its binaries and data
 * below root's private home: CAP_DAC_READ_SEARCH lets it search folders, and nothing more.
 */
static int unroot(char **args) {
  uid_t uid = atoi(args[0]);
  gid_t gid = atoi(args[1]);
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {{0}};
  prctl(PR_SET_KEEPCAPS, 1);
  /* Without this access(2) forgets the capability, and initdb takes its own binary for missing. */
  prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0);
  if (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid)) {
    perror("unroot");
    return 1;
  }
  data[0].permitted = data[0].inheritable = data[0].effective = 1u << CAP_DAC_READ_SEARCH;
  if (syscall(SYS_capset, &header, data) == 0) {
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_READ_SEARCH, 0, 0);
  }
  execvp(args[3], args + 3);
  perror(args[3]);
  return 127;
}

int main(int argc, char **argv) {
  if (argc == 2 && !strcmp(argv[1], "serve")) return serve();
  if (argc == 3 && !strcmp(argv[1], "run")) return shim_main(argv[2], -1);
  if (argc > 5 && !strcmp(argv[1], "unroot")) return unroot(argv + 2);
  if (argc == 2 && !strcmp(argv[1], "--version")) return puts(SOURCE_SHA256) < 0;
  fprintf(stderr, "usage: launcher serve | run DIR | unroot UID GID -- PROGRAM [ARG...]"
                  " | --version\n");
  return 2;
}
