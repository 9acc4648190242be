/* options.c - one table of long options, GNU style (--name value, --name=value); a verb names the ones it takes. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/words.h"
#include "program.h"

enum kind { FLAG, TEXT, COUNT, SECONDS, SET, OPTIONAL_TEXT };

struct option {
    const char *name, *value, *help;
    enum kind kind;
    size_t at; /* in struct command; OPTIONAL_TEXT: of struct optional */
};

#define AT(member) offsetof(struct command, member)
static const struct option options[] = {
    {"set", "KEY=VALUE",
     "override a key of the run file, such as optimizer.lr=0.1; may be repeated", SET, AT(set)},
    {"json", NULL, "print one JSON object instead of tables", FLAG, AT(json)},
    {"quiet", NULL, "no progress, no tables", FLAG, AT(quiet)},
    {"resume", "[=PATH]", "go on from the newest checkpoint of the run folder, or from PATH",
     OPTIONAL_TEXT, AT(resume)},
    {"trace", "[=FIRST-LAST]",
     "record steps, by default 10-20 from the start, into trace.json, and show where their time goes",
     OPTIONAL_TEXT, AT(trace)},
    {"shrink", NULL,
     "when ranks die, those that are left go on from the newest checkpoint (mpiexec --with-ft ulfm)", FLAG,
     AT(shrink)},
    {"full", NULL, "the run of the published size instead of the short one", FLAG, AT(full)},
    {"train-bn", NULL, "batch norms of an ONNX file made for inference train with the batch's statistics",
     FLAG, AT(train_bn)},
    {"from", "WORD", "pytorch: --weights have PyTorch's order of axes", TEXT, AT(from)},
    {"to", "WORD", "pytorch: write weights in PyTorch's order of axes", TEXT, AT(to)},
    {"task", "WORD", "what the app does besides training; its README says which there are", TEXT,
     AT(task)},
    {"weights", "FILE",
     "a checkpoint or safetensors file; default: the newest checkpoint of the run folder", TEXT,
     AT(weights)},
    {"input", "FILE", "samples to predict; default: the evaluation data of the run", TEXT,
     AT(input)},
    {"output", "FILE", "the file to write: predictions (.npy), measured kernel choices, a network or weights", TEXT,
     AT(output)},
    {"tuning", "FILE", "kernel choices measured earlier", TEXT, AT(tuning)},
    {"batch", "N", "samples at a time", COUNT, AT(batch)},
    {"ranks", "N", "predict for N ranks; race as N ranks", COUNT, AT(ranks)},
    {"node", "FILE", "predict times on nodes as the file describes them (bench/nodes)", TEXT,
     AT(node)},
    {"slurm", NULL, "a script for sbatch", FLAG, AT(slurm)},
    {"pbs", NULL, "a script for qsub", FLAG, AT(pbs)},
    {"nodes", "N", "nodes of the job; default 1", COUNT, AT(nodes)},
    {"ranks-per-node", "N", "ranks on each node; default 1", COUNT, AT(ranks_per_node)},
    {"time", "HH:MM:SS", "the job's limit, as the scheduler reads it", TEXT, AT(time)},
    {"account", "NAME", "who pays for the job", TEXT, AT(account)},
    {"queue", "NAME", "queue (PBS) or partition (Slurm) of the job", TEXT, AT(queue)},
    {"restarts", "N", "restarts after lost ranks, at most; default 3", COUNT, AT(restarts)},
    {"steps", "N", "training steps to time", COUNT, AT(steps)},
    {"seconds", "S", "time spent on each row", SECONDS, AT(seconds)},
    {"cold", NULL, "time single calls, with 64 MiB of other data through the caches before each",
     FLAG, AT(cold)},
    {"modes", "LIST", "of PyTorch, to race against: eager,channels_last,compile", TEXT, AT(modes)},
    {"csv", "FILE", "write the rows, one line for each way of each; of an app: append its scores", TEXT,
     AT(csv)},
    {"history", "FOLDER", "where the records are; default: track", TEXT, AT(history)},
    {"suites", "FOLDER", "the cases to measure; default: bench/suites", TEXT, AT(suites)},
    {"baseline", "PROGRAM", "the sunup to compare with", TEXT, AT(baseline)},
    {"candidate", "PROGRAM", "the sunup to measure; default: this one", TEXT, AT(candidate)},
    {"pairs", "N", "processes of each side; default: as many as the test needs", COUNT, AT(pairs)},
    {"format", "NAME", "of the files; default: recognised by their content", TEXT, AT(format)},
    {"columns", "MAP", "what the columns of a CSV file are", TEXT, AT(columns)},
    {"source", "WORD", "whose results they are; default: vendor", TEXT, AT(source)},
    {"build", "COMMAND", "builds a commit in its folder", TEXT, AT(build)},
    {"program", "PATH", "the sunup that this leaves there; default: build/sunup", TEXT, AT(program)},
    {"html", "FILE", "draw the kernels under their roofline", TEXT, AT(html)},
};
enum { N_OPTIONS = sizeof options / sizeof options[0] };

static bool takes(const struct verb *v, const char *name)
{
    const size_t n = strlen(name);
    for (const char *s = v->options; (s = strstr(s, name)) != NULL; s += n)
        if ((s == v->options || s[-1] == ' ') && (s[n] == ' ' || s[n] == '\0')) return true;
    return false;
}

void options_help(const struct verb *v, FILE *to)
{
    (void)fprintf(to, "usage: sunup %s [OPTIONS] %s\n\n%s\n\n", v->name, v->operands, v->summary);
    for (int i = 0; i < N_OPTIONS; i++) {
        if (!takes(v, options[i].name)) continue;
        const char *value = options[i].value != NULL ? options[i].value : "";
        const bool apart =
            value[0] != '[' && value[0] != '\0'; /* --set KEY=VALUE, --resume[=PATH] */
        char shown[64];
        (void)snprintf(shown, sizeof shown, "--%s%s%s", options[i].name, apart ? " " : "", value);
        (void)fprintf(to, "  %-24s %s\n", shown, options[i].help);
    }
}

static const struct option *find(const struct verb *v, const char *name, size_t n)
{
    const char *known[N_OPTIONS];
    int n_known = 0;
    for (int i = 0; i < N_OPTIONS; i++) {
        if (!takes(v, options[i].name)) continue;
        if (strlen(options[i].name) == n && strncmp(options[i].name, name, n) == 0)
            return &options[i];
        known[n_known++] = options[i].name;
    }
    char word[64], hint[HINT_TEXT];
    (void)snprintf(word, sizeof word, "%.*s", (int)n, name);
    (void)complain(EXIT_USAGE, "sunup %s takes no option --%s%s", v->name, word,
                   sunup__hint(hint, word, n_known, known));
    return NULL;
}

static int number(const struct option *o, const char *text, double *x)
{
    char *end;
    errno = 0;
    *x = strtod(text, &end);
    if (errno != 0 || end == text || *end != '\0' || !(*x > 0) || *x > 1e15)
        return complain(EXIT_USAGE, "--%s is '%s'; it must be a number above 0", o->name, text);
    return 0;
}

static int store(struct command *c, const struct option *o, const char *text)
{
    char *at = (char *)c + o->at;
    double x = 0;
    switch (o->kind) {
    case FLAG:
        *(bool *)at = true;
        return 0;
    case TEXT:
        *(const char **)at = text;
        return 0;
    case OPTIONAL_TEXT:
        ((struct optional *)at)->given = true;
        if (text != NULL && strcmp(text, "auto") != 0) ((struct optional *)at)->text = text;
        return 0;
    case COUNT:
        if (number(o, text, &x) != 0) return EXIT_USAGE;
        *(int64_t *)at = (int64_t)x;
        return 0;
    case SECONDS:
        if (number(o, text, &x) != 0) return EXIT_USAGE;
        *(double *)at = x;
        return 0;
    case SET:
        if (c->n_set == MAX_SET) return complain(EXIT_USAGE, "more than %d --set", MAX_SET);
        c->set[c->n_set++] = text;
        return 0;
    }
    return 0;
}

static int parse_option(struct command *c, const struct verb *v, int *i, int argc, char **argv)
{
    const char *name = argv[*i] + 2, *equals = strchr(name, '=');
    const struct option *o = find(v, name, equals != NULL ? (size_t)(equals - name) : strlen(name));
    if (o == NULL) return EXIT_USAGE;
    if (o->kind == FLAG && equals != NULL)
        return complain(EXIT_USAGE, "--%s takes no value", o->name);
    const char *text = equals != NULL ? equals + 1 : NULL;
    const bool needs = o->kind != FLAG && o->kind != OPTIONAL_TEXT;
    if (needs && text == NULL) {
        if (*i + 1 >= argc)
            return complain(EXIT_USAGE, "--%s needs a value: %s", o->name, o->value);
        text = argv[++*i];
    }
    return store(c, o, text);
}

int options_parse(struct command *c, const struct verb *v, int argc, char **argv)
{
    bool only_operands = false;
    for (int i = 0; i < argc; i++) {
        if (!only_operands && strcmp(argv[i], "--") == 0) {
            only_operands = true;
        } else if (!only_operands && strncmp(argv[i], "--", 2) == 0) {
            const int usage = parse_option(c, v, &i, argc, argv);
            if (usage != 0) return usage;
        } else if (c->n_operands == MAX_OPERANDS) {
            return complain(EXIT_USAGE, "more than %d operands", MAX_OPERANDS);
        } else {
            c->operand[c->n_operands++] = argv[i];
        }
    }
    const bool needs = v->operands[0] != '\0' && v->operands[0] != '[';
    if (needs && c->n_operands == 0) {
        options_help(v, stderr);
        return complain(EXIT_USAGE, "sunup %s needs %s", v->name, v->operands);
    }
    return 0;
}
