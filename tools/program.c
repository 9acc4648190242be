/* program.c - main: find the verb, read its options, make a context, run it. */
#include "program.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/counters.h"
#include "base/system.h"
#include "base/words.h"
#include "comm/comm.h"

static const struct verb verbs[] = {
    {"train", "RUN.yaml", "train a network as a run file says, on one process or under mpiexec",
     "set json quiet resume train-bn tuning trace shrink", verb_train},
    {"eval", "RUN.yaml", "loss and accuracy of trained weights on the evaluation data",
     "set json weights", verb_eval},
    {"predict", "RUN.yaml", "outputs of a network for the samples of a file, as .npy",
     "set json weights input output batch", verb_predict},
    {"summary", "MODEL.yaml|RUN.yaml", "layers, output shapes, parameters, flops, activation bytes",
     "set json batch", verb_summary},
    {"plan", "RUN.yaml", "steps, kernels, memory and traffic of a run before it starts",
     "set json ranks node", verb_plan},
    {"config", "RUN.yaml", "the run with every default and --set filled in", "set", verb_config},
    {"job", "RUN.yaml",
     "print a script, for Slurm, PBS or this machine, that trains and goes on when ranks are lost",
     "set tuning slurm pbs nodes ranks-per-node time account queue restarts shrink", verb_job},
    {"tune", "RUN.yaml", "measure the kernels that a run can use; the winners go to --output",
     "set json output", verb_tune},
    {"convert", "NETWORK|WEIGHTS",
     "networks to ONNX; weights between safetensors, NPZ and ONNX, ours and PyTorch's",
     "set json weights from to output", verb_convert},
    {"check", "[PROBLEM...]|comm",
     "compare kernels, ops, or (comm, under mpiexec) collectives with their references", "json",
     verb_check},
    {"bench", "kernel PROBLEM|LIST...|model RUN.yaml...|profile RUN.yaml...|comm SIZE|PROBLEM|LIST...",
     "time kernels, training steps or collectives, as share of this machine's ceiling",
     "set json tuning seconds steps ranks cold csv html modes", verb_bench},
    {"app", "[NAME]",
     "train a science workload, score it beside its baselines and draw its picture; or list them",
     "set json quiet resume trace weights full task csv", verb_app},
    {"data", "[NAME]", "make the data of an app where they come by package; or list the files of all",
     "output", verb_data},
    {"track",
     "run|compare|selftest [SUITE|CASE...]|report|weekly|pin|import FILE...|query SQL|band CASE|bisect GOOD BAD CASE",
     "performance and stability over time: measure, compare, judge, report",
     "json quiet history suites baseline candidate pairs seconds output format columns source build program",
     verb_track},
    {"doctor", "", "what this machine, build and environment offer, and what to change", "json",
     verb_doctor},
};
enum { N_VERBS = sizeof verbs / sizeof verbs[0] };

static char complaint[2048]; /* the last; written at once, for several ranks share a terminal */

int complain(int exit_status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(complaint, sizeof complaint, format, args);
    va_end(args);
    (void)fprintf(stderr, "sunup: %s\n", complaint);
    return exit_status;
}

static void help(FILE *to)
{
    (void)fprintf(to,
                  "sunup %s: deep-learning training for supercomputers\n\nusage: sunup VERB "
                  "[OPTIONS] ...\n\n",
                  sunup_version());
    for (int i = 0; i < N_VERBS; i++)
        (void)fprintf(to, "  %-8s %-20s %s\n", verbs[i].name, verbs[i].operands, verbs[i].summary);
    (void)fprintf(
        to, "\nsunup VERB --help tells more; many ranks: mpiexec -n N sunup train RUN.yaml\n"
            "Environment: SUNUP_THREADS, SUNUP_ISA (ref avx2 avx512 ...), SUNUP_DEVICE (cpu memcheck), "
            "SUNUP_TIMEOUT, SUNUP_MESSAGES, SUNUP_VERIFY, SUNUP_TUNING, SUNUP_NUMERICS (fast exact bf16)\n");
}

static const struct verb *find_verb(const char *name)
{
    const char *names[N_VERBS];
    for (int i = 0; i < N_VERBS; i++) {
        names[i] = verbs[i].name;
        if (strcmp(name, verbs[i].name) == 0) return &verbs[i];
    }
    char hint[HINT_TEXT];
    (void)complain(EXIT_USAGE, "there is no verb '%s'%s; sunup --help lists them", name,
                   sunup__hint(hint, name, N_VERBS, names));
    return NULL;
}

static void log_line(void *arg, sunup_log_level level, const char *line)
{
    const struct command *c = arg;
    if (level > SUNUP_LOG_WARN || (c->comm != NULL && sunup_comm_rank(c->comm) != 0)) return;
    (void)fprintf(stderr, "sunup: %s%s\n", level == SUNUP_LOG_WARN ? "warning: " : "", line);
}

/* All ranks have reported their results and errors; what is left is that one does not come to the end. */
static void leave_ranks(struct command *c)
{
    if (c->comm == NULL) return;
    const sunup_status status = sunup__comm_leave(c->comm);
    if (status != SUNUP_OK) (void)fail(c, status);
    sunup_comm_destroy(&c->comm);
}

static int run(struct command *c, const struct verb *v)
{
    if (c->json) (void)sunup__instructions_begin(); /* before there are other threads */
    sunup_context_options o = sunup_context_defaults();
    o.log = log_line;
    o.log_arg = c;
    o.tuning = c->tuning;
    const sunup_status status = sunup_context_create(&o, &c->ctx);
    if (status == SUNUP_OK) {
        c->ctx->stuck = lost_in_mpi;
        c->ctx->stuck_arg = c;
    }
    const int result = status == SUNUP_OK ? v->run(c) : fail(c, status);
    leave_ranks(c);
    sunup_context_destroy(&c->ctx);
    return result;
}

/* Also where the options could not all be read. */
static bool wants_json(int argc, char **argv)
{
    for (int i = 2; i < argc; i++)
        if (strcmp(argv[i], "--json") == 0) return true;
    return false;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        help(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)printf("sunup %s\n", sunup_version());
        return 0;
    }
    const struct verb *v = find_verb(argv[1]);
    if (v == NULL) return EXIT_USAGE;
    struct command c = {.verb = v->name, .start_s = sunup__now_s()};
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--help") != 0) continue;
        options_help(v, stdout);
        return 0;
    }
    const int usage = options_parse(&c, v, argc - 2, argv + 2);
    if (usage == 0) return run(&c, v);
    if (wants_json(argc, argv)) failure_print(&c, SUNUP_E_ARGUMENT, complaint);
    return usage;
}
