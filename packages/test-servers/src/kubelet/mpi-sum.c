/* Each rank says where it is and what the sum of all ranks is. With an argument: `die` kills the last
   rank, `hold` waits for ever, `fill` takes memory on the last rank until it is killed. */
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of the daemon that started this rank: MPICH gives all ranks the variables of the head. */
static int node_rank(void) {
  static const char name[] = "MAJORANA_NODE_RANK=";
  static char environment[1 << 20];
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/environ", getppid());
  FILE *file = fopen(path, "r");
  if (file == NULL) return -1;
  size_t length = fread(environment, 1, sizeof environment - 1, file);
  fclose(file);
  for (char *at = environment; at < environment + length; at += strlen(at) + 1)
    if (strncmp(at, name, strlen(name)) == 0) return atoi(at + strlen(name));
  return -1;
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "end";
  int rank, size, sum = 0;
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
  printf("rank %d of %d on node %d: sum %d\n", rank, size, node_rank(), sum);
  fflush(stdout);
  if (strcmp(what, "hold") == 0) pause();
  if (strcmp(what, "die") == 0 && rank == size - 1) raise(SIGKILL);
  while (strcmp(what, "fill") == 0 && rank == size - 1) memset(malloc(1 << 20), 1, 1 << 20);
  MPI_Barrier(MPI_COMM_WORLD);
  MPI_Finalize();
}
