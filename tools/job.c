/* job.c - `sunup job RUN.yaml`: a script for Slurm, PBS or this machine that trains and, when a
 * rank is lost, goes on from the newest checkpoint on the hosts and ranks that are left.
 *
 * Why a script: launchers end all processes of a job when one is lost, so whoever starts them
 * again must stand outside. What is asked of the scheduler, and what is this run's, is printed
 * here; the loop is job.sh, the same for all.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "job_script.h" /* job.sh as text, made by CMake */
#include "program.h"

/* A word of the shell that means exactly this text. */
static void print_word(const char *text)
{
    (void)putchar('\'');
    for (const char *s = text; *s != '\0'; s++)
        if (*s == '\'')
            (void)printf("'\\''");
        else
            (void)putchar(*s);
    (void)putchar('\'');
}

static void print_variable(const char *name, const char *text)
{
    (void)printf("%s=", name);
    print_word(text);
    (void)putchar('\n');
}

/* Without --no-kill, and without tolerate_node_failures, the loss of a node ends the job before
 * this script can act. TERM two minutes before the end: a checkpoint is written, and the same
 * script submitted again goes on from there. */
static void print_slurm(const struct command *c)
{
    (void)printf(
        "#SBATCH --job-name=sunup\n#SBATCH --nodes=%lld\n#SBATCH --ntasks-per-node=%lld\n#SBATCH "
        "--exclusive\n#SBATCH --no-kill\n#SBATCH --signal=TERM@120\n",
        (long long)c->nodes, (long long)c->ranks_per_node);
    if (c->time != NULL) (void)printf("#SBATCH --time=%s\n", c->time);
    if (c->account != NULL) (void)printf("#SBATCH --account=%s\n", c->account);
    if (c->queue != NULL) (void)printf("#SBATCH --partition=%s\n", c->queue);
}

static void print_pbs(const struct command *c)
{
    (void)printf("#PBS -N sunup\n#PBS -j oe\n#PBS -l select=%lld\n#PBS -l place=scatter\n#PBS -W "
                 "tolerate_node_failures=all\n",
                 (long long)c->nodes);
    if (c->time != NULL) (void)printf("#PBS -l walltime=%s\n", c->time);
    if (c->account != NULL) (void)printf("#PBS -A %s\n", c->account);
    if (c->queue != NULL) (void)printf("#PBS -q %s\n", c->queue);
}

static void print_script(const struct command *c, const char *program, const struct run_file *r)
{
    (void)printf("#!/bin/sh\n");
    if (c->slurm) print_slurm(c);
    if (c->pbs) print_pbs(c);
    (void)printf("patience=%.0f\n", r->timeout_s + 60);
    (void)printf("launcher=%s\nranks_per_node=%lld\nrestarts=%lld\n",
                 c->slurm ? "slurm"
                 : c->pbs ? "pbs"
                          : "local",
                 (long long)c->ranks_per_node, (long long)c->restarts);
    (void)printf("shrink=%s\n", c->shrink ? "yes" : "");
    print_variable("sunup", program);
    print_variable("run", c->operand[0]);
    print_variable("run_dir", r->o.run_dir);
    (void)printf("set --");
    for (int i = 0; i < c->n_set; i++) {
        (void)printf(" --set ");
        print_word(c->set[i]);
    }
    if (c->tuning != NULL) {
        (void)printf(" --tuning ");
        print_word(c->tuning);
    }
    (void)printf("%s\n%s", c->shrink ? " --shrink" : "", job_script);
}

static sunup_status check(const struct command *c, const struct run_file *r)
{
    const long long ranks = (long long)(c->nodes * c->ranks_per_node);
    CHECK(!(c->slurm && c->pbs), c->ctx, E_ARGUMENT,
          "--slurm and --pbs: a script is for one scheduler");
    CHECK(
        c->slurm || c->pbs || c->nodes == 1, c->ctx, E_ARGUMENT,
        "--nodes %lld needs --slurm or --pbs: without a scheduler the script runs on this machine",
        (long long)c->nodes);
    CHECK(!(c->slurm && c->shrink), c->ctx, E_UNSUPPORTED,
          "--shrink with --slurm: srun ends all ranks when one dies; restarts go on without it");
    CHECK(r->o.run_dir != NULL, c->ctx, E_ARGUMENT,
          "%s sets no run_dir: a job goes on from the checkpoints there; add one, or --set "
          "run_dir=FOLDER",
          r->path);
    CHECK(ranks <= r->o.shards, c->ctx, E_ARGUMENT,
          "%lld nodes of %lld ranks are %lld ranks, but %s has %d shards: each rank needs one",
          (long long)c->nodes, (long long)c->ranks_per_node, ranks, r->path, r->o.shards);
    return SUNUP_OK;
}

static void fill_defaults(struct command *c)
{
    if (c->nodes == 0) c->nodes = 1;
    if (c->ranks_per_node == 0) c->ranks_per_node = 1;
    if (c->restarts == 0) c->restarts = 3;
}

int verb_job(struct command *c)
{
    char program[4096];
    const ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n < 0)
        return complain(EXIT_ERROR, "/proc/self/exe: this program does not find its own path");
    program[n] = '\0';
    fill_defaults(c);
    struct run_file r = {0};
    sunup_status status = run_file_load(c, c->operand[0], &r);
    if (status == SUNUP_OK) status = check(c, &r);
    if (status == SUNUP_OK) print_script(c, program, &r);
    run_file_end(&r);
    return status == SUNUP_OK ? 0 : fail(c, status);
}
