/* track_identify.c - where and with what a run was made, as facts.
 *
 * What the program is and how it computes it says itself (`sunup doctor --json`), so that another
 * build is asked in the same way; machine, system, environment are read here. "machine" is the same
 * on all nodes of a kind: the processor's name, its cores, the memory rounded to a size that is
 * sold. What cannot be read is left out.
 */
#include <gnu/libc-version.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/system.h"
#include "track_run.h"

extern char **environ;

enum { MOST_KNOBS = 256 };

struct identity {
    struct command *c;
    struct track_history *h;
    struct track_run *run;
};

/* "" and NULL are no fact. */
static sunup_status add(const struct identity *id, const char *key, const char *value)
{
    if (value == NULL || value[0] == '\0') return SUNUP_OK;
    return sunup__track_add_fact(id->c->ctx, id->h, id->run, key, value);
}

/* The line of a file, without its end; behind `key` and what separates it, if there is a key. */
static const char *line_of(const char *path, const char *key, char line[LONG_TEXT])
{
    FILE *f = fopen(path, "r");
    const size_t n = key != NULL ? strlen(key) : 0;
    const char *found = NULL;
    while (f != NULL && found == NULL && fgets(line, LONG_TEXT, f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (key == NULL || strncmp(line, key, n) == 0)
            found = line + n + strspn(line + n, " \t:=\"");
    }
    if (f != NULL) (void)fclose(f);
    return found;
}

/* ---- the program ---- */

static sunup_status ask_program(const struct identity *id, const char *program)
{
    static const char *const keys[] = {"version", "commit", "dirty", "compiler", "flags",
                                       "mpi",     "onednn", "isa",   "numerics"};
    const char *const argv[] = {program, "doctor", "--json", NULL};
    struct track_child child;
    TRY(track_child_run(id->c->ctx, argv, NULL, 60, &child));
    json_t *said = track_answer(child.out, false);
    sunup_status status = SUNUP_OK;
    if (said == NULL)
        status = sunup__raise(id->c->ctx, SUNUP_E_PEER,
                              "%s doctor --json: no answer (exit status %d, signal %d) %.200s",
                              program, child.exit_status, child.signal, child.err);
    for (size_t i = 0; status == SUNUP_OK && i < sizeof keys / sizeof *keys; i++)
        status = add(id, keys[i], json_string_value(json_object_get(said, keys[i])));
    const json_t *threads = json_object_get(said, "threads");
    char text[32];
    (void)snprintf(text, sizeof text, "%lld", (long long)json_integer_value(threads));
    if (status == SUNUP_OK && json_is_integer(threads)) status = add(id, "threads", text);
    json_decref(said);
    track_child_end(&child);
    return status;
}

/* ---- the machine ---- */

/* To the nearest of 1, 1.25, 1.5, 1.75 times a power of two: the system keeps a few per cent to
 * itself. */
static double round_size(double gigabytes)
{
    if (!(gigabytes > 0)) return 0;
    const double power = exp2(floor(log2(gigabytes)));
    return power * round(4 * gigabytes / power) / 4;
}

static sunup_status add_machine(const struct identity *id)
{
    char cpu[128], text[LONG_TEXT];
    sunup__cpu_name(cpu, sizeof cpu);
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const double memory = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    const double sold = round_size(memory / 1073741824.0);
    (void)snprintf(text, sizeof text, "%s, %ld cores, %g GiB", cpu, cores, sold);
    TRY(add(id, "machine", text));
    TRY(add(id, "cpu", cpu));
    (void)snprintf(text, sizeof text, "%ld", cores);
    TRY(add(id, "cores", text));
    (void)snprintf(text, sizeof text, "%.1f GiB", memory / 1073741824.0);
    return add(id, "memory", text);
}

static sunup_status add_system(const struct identity *id)
{
    static const struct {
        const char *fact, *path, *key;
    } files[] = {{"os", "/etc/os-release", "PRETTY_NAME"},
                 {"microcode", "/proc/cpuinfo", "microcode"},
                 {"governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", NULL},
                 {"smt", "/sys/devices/system/cpu/smt/active", NULL},
                 {"huge_pages", "/sys/kernel/mm/transparent_hugepage/enabled", NULL}};
    char line[LONG_TEXT], own[LONG_TEXT];
    struct utsname u;
    if (uname(&u) == 0) {
        (void)snprintf(line, sizeof line, "%s %s", u.sysname, u.release);
        TRY(add(id, "kernel", line));
        TRY(add(id, "host", u.nodename));
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const char *found = line_of(files[i].path, files[i].key, line);
        (void)snprintf(own, sizeof own, "%s", found != NULL ? found : "");
        own[strcspn(own, "\"")] = '\0';
        TRY(add(id, files[i].fact, own));
    }
    return add(id, "glibc", gnu_get_libc_version());
}

/* ---- the job ---- */

/* PBS names each node as often as it has ranks. */
static sunup_status add_node_file(const struct identity *id, const char *path)
{
    char line[LONG_TEXT], last[LONG_TEXT] = "";
    struct text t = {0};
    FILE *f = path != NULL ? fopen(path, "r") : NULL;
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] != '\0' && strcmp(line, last) != 0)
            sunup__text(&t, "%s%s", t.n > 0 ? "," : "", line);
        memcpy(last, line, sizeof last);
    }
    if (f != NULL) (void)fclose(f);
    const sunup_status status = add(id, "nodes", t.s);
    sunup__free(t.s);
    return status;
}

static sunup_status add_job(const struct identity *id)
{
    const char *nodes = getenv("SLURM_JOB_NODELIST");
    if (nodes != NULL)
        TRY(add(id, "nodes", nodes));
    else
        TRY(add_node_file(id, getenv("PBS_NODEFILE")));
    return add(id, "modules", getenv("LOADEDMODULES"));
}

static bool is_knob(const char *text)
{
    static const char *const heads[] = {"SUNUP_", "OMP_",  "GOMP_",  "KMP_", "CCL_",   "FI_",
                                        "MPICH_", "OMPI_", "I_MPI_", "UCX_", "MALLOC_"};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if (strncmp(text, heads[i], strlen(heads[i])) == 0) return true;
    return false;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A variable that changes results or speed is a fact of its own name. */
static sunup_status add_knobs(const struct identity *id)
{
    const char *knobs[MOST_KNOBS];
    int n = 0;
    for (char **e = environ; *e != NULL && n < MOST_KNOBS; e++)
        if (is_knob(*e) && strchr(*e, '=') != NULL) knobs[n++] = *e;
    qsort(knobs, (size_t)n, sizeof *knobs, by_text);
    for (int i = 0; i < n; i++) {
        char key[LONG_TEXT];
        (void)snprintf(key, sizeof key, "%.*s", (int)strcspn(knobs[i], "="), knobs[i]);
        TRY(add(id, key, strchr(knobs[i], '=') + 1));
    }
    return SUNUP_OK;
}

sunup_status track_identify(struct command *c, const char *program, struct track_history *h,
                            struct track_run *run)
{
    const struct identity id = {c, h, run};
    char self[4096];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    CHECK(n > 0 || program != NULL, c->ctx, E_UNSUPPORTED,
          "this program cannot find itself to start it again");
    self[n > 0 ? n : 0] = '\0';
    TRY(ask_program(&id, program != NULL ? program : self));
    TRY(add_machine(&id));
    TRY(add_system(&id));
    TRY(add_job(&id));
    return add_knobs(&id);
}
