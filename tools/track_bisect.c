/* track_bisect.c - `sunup track bisect GOOD BAD CASE`: the commit of this git repository that made a case
 * slower.
 *
 * Commits between GOOD and BAD, along first parents. Each step builds one in a worktree of its own and
 * compares it with GOOD's program by pairs, both looks (track_compare.c): a commit is slow if that is found.
 * What does not build is skipped, as by git bisect skip. The worktree stays from step to step, so that a build
 * makes only what changed; the checkout that the program was started in is left alone.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "track.h"
#include "track/pairs.h"

enum { PATH_ROOM = 4096, HASH_SHOWN = 10 };
static const double git_timeout_s = 600, build_timeout_s = 3600;
static const char default_build[] =
    "command -v ccache > /dev/null && launcher=-DCMAKE_C_COMPILER_LAUNCHER=ccache\n"
    "cmake -S . -B build -G Ninja -DSUNUP_TESTS=OFF $launcher && ninja -C build sunup";

enum state { UNKNOWN, FAST, SLOW, SKIPPED };
struct bisect {
    struct command *c;
    const char *build, *program;
    char folder[PATH_ROOM], good[PATH_ROOM],
        work[PATH_ROOM]; /* worktrees good and work in the folder */
    struct track_cases cases;
    struct arena arena;
    int n, tested;
    char **commits; /* after GOOD, oldest first; the last is BAD */
    enum state *states;
    struct track_history h; /* of all comparisons, a run each */
    int *runs;              /* of each commit that was compared */
};

/* ---- git and builds ---- */

static sunup_status git(struct bisect *b, const char *const *words, char **out)
{
    const char *argv[16] = {"git"};
    struct track_child child;
    for (int i = 0; words[i] != NULL && i < 14; i++) argv[i + 1] = words[i];
    TRY(track_child_run(b->c->ctx, argv, NULL, git_timeout_s, &child));
    sunup_status status = SUNUP_OK;
    if (child.exit_status != 0)
        status = sunup__raise(b->c->ctx, SUNUP_E_ARGUMENT, "git %s: %.*s", words[0],
                              (int)strcspn(child.err, "\n"), child.err);
    if (out != NULL && status == SUNUP_OK) *out = sunup__arena_strdup(&b->arena, child.out);
    track_child_end(&child);
    if (out != NULL && status == SUNUP_OK)
        CHECK(*out != NULL, b->c->ctx, E_MEMORY, "no memory for what git says");
    return status;
}

static sunup_status list_commits(struct bisect *b, const char *good, const char *bad)
{
    char range[1024], *text;
    (void)snprintf(range, sizeof range, "%s..%s", good, bad);
    TRY(git(b, (const char *const[]){"rev-list", "--first-parent", "--reverse", range, "--", NULL},
            &text));
    for (const char *s = text; *s != '\0'; s++) b->n += *s == '\n';
    CHECK(b->n > 0, b->c->ctx, E_ARGUMENT, "no commit leads from %s to %s", good, bad);
    const size_t n = (size_t)b->n;
    b->commits = sunup__arena_alloc(&b->arena, n * sizeof *b->commits);
    b->states = sunup__arena_alloc(&b->arena, n * sizeof *b->states);
    b->runs = sunup__arena_alloc(&b->arena, n * sizeof *b->runs);
    CHECK(b->commits != NULL && b->states != NULL && b->runs != NULL, b->c->ctx, E_MEMORY,
          "no memory for %d commits", b->n);
    int i = 0;
    for (char *w = strtok(text, "\n"); w != NULL; w = strtok(NULL, "\n")) b->commits[i++] = w;
    return SUNUP_OK;
}

/* built false: this commit does not build, or leaves no program. */
static sunup_status build(struct bisect *b, const char *folder, char *program, bool *built)
{
    struct text t = {0};
    struct track_child child;
    sunup__text(&t, "cd -- \"$0\" || exit 1\n%s", b->build);
    CHECK(t.s != NULL, b->c->ctx, E_MEMORY, "no memory to build");
    const char *const argv[] = {"sh", "-c", t.s, folder, NULL};
    const sunup_status status = track_child_run(b->c->ctx, argv, NULL, build_timeout_s, &child);
    sunup__free(t.s);
    TRY(status);
    (void)snprintf(program, PATH_ROOM, "%s/%s", folder, b->program);
    *built = child.exit_status == 0 && access(program, X_OK) == 0;
    track_child_end(&child);
    return SUNUP_OK;
}

static sunup_status open_worktrees(struct bisect *b, const char *good)
{
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(b->folder, sizeof b->folder - 16, "%s/sunup-bisect-XXXXXX",
                   tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(b->folder) == NULL) {
        const char *folder = b->folder;
        RAISE(b->c->ctx, E_FILE, "cannot make the folder %s", folder);
    }
    const size_t n = strlen(b->folder);
    memcpy(b->good, b->folder, n);
    memcpy(b->good + n, "/good", 6);
    memcpy(b->work, b->folder, n);
    memcpy(b->work + n, "/work", 6);
    TRY(git(b, (const char *const[]){"worktree", "add", "--detach", b->good, good, NULL}, NULL));
    return git(b, (const char *const[]){"worktree", "add", "--detach", b->work, good, NULL}, NULL);
}

static void close_worktrees(struct bisect *b)
{
    if (b->folder[0] == '\0') return;
    (void)git(b, (const char *const[]){"worktree", "remove", "--force", b->good, NULL}, NULL);
    (void)git(b, (const char *const[]){"worktree", "remove", "--force", b->work, NULL}, NULL);
    (void)rmdir(b->folder);
}

/* ---- steps ---- */

static const char *subject(struct bisect *b, int i)
{
    char *text = NULL;
    if (git(b, (const char *const[]){"show", "-s", "--format=%s", b->commits[i], "--", NULL},
            &text) != SUNUP_OK)
        return "";
    text[strcspn(text, "\n")] = '\0';
    return text;
}

static const struct track_row *pairs_row(const struct bisect *b, int i)
{
    const struct track_run *run = &b->h.runs[b->runs[i]];
    for (int r = 0; r < run->n_rows; r++)
        if (run->rows[r].kind == TRACK_PAIRS) return &run->rows[r];
    return NULL;
}

static sunup_status compare(struct bisect *b, int i, const char *good, const char *program)
{
    struct command quiet = *b->c;
    quiet.quiet = true;
    struct track_run *run = sunup__track_add_run(&b->h, b->commits[i], 0);
    CHECK(run != NULL, b->c->ctx, E_MEMORY, "no memory for a run");
    b->runs[i] = b->h.n_runs - 1;
    TRY(track_compare(&quiet, good, program, &b->cases, &b->h, run));
    const struct pairs_rule rule = sunup__pairs_rule();
    const struct track_row *row = pairs_row(b, i);
    struct pairs_result r = {.ratio = 1};
    CHECK(row != NULL && sunup__pairs_judge(&rule, &row, 1, &r), b->c->ctx, E_MEMORY,
          "no memory to judge pairs");
    b->states[i] = r.found && r.ratio > 1 ? SLOW : FAST;
    b->tested++;
    if (!b->c->json)
        (void)printf("  %.*s %6.3fx (%.3f .. %.3f) %s  %s\n", HASH_SHOWN, b->commits[i], r.ratio,
                     r.low, r.high, b->states[i] == SLOW ? "slow" : "fast", subject(b, i));
    (void)fflush(stdout);
    return SUNUP_OK;
}

static sunup_status test(struct bisect *b, int i, const char *good)
{
    char program[PATH_ROOM];
    bool built;
    TRY(git(b,
            (const char *const[]){"-C", b->work, "checkout", "-q", "--force", "--detach",
                                  b->commits[i], NULL},
            NULL));
    TRY(build(b, b->work, program, &built));
    if (built) return compare(b, i, good, program);
    b->states[i] = SKIPPED;
    if (!b->c->json)
        (void)printf("  %.*s does not build  %s\n", HASH_SHOWN, b->commits[i], subject(b, i));
    return SUNUP_OK;
}

/* The one nearest to the middle between lo and hi of which nothing is known; -1: there is none. */
static int next(const struct bisect *b, int lo, int hi)
{
    const int middle = (lo + hi) / 2;
    for (int away = 0; away < hi - lo; away++) {
        if (middle + away < hi && b->states[middle + away] == UNKNOWN) return middle + away;
        if (middle - away > lo && b->states[middle - away] == UNKNOWN) return middle - away;
    }
    return -1;
}

/* All up to *lo are fast (-1: GOOD itself), *hi is slow. */
static sunup_status search(struct bisect *b, const char *good, int *lo, int *hi)
{
    *lo = -1;
    *hi = b->n - 1;
    TRY(test(b, *hi, good));
    CHECK(b->states[*hi] != SKIPPED, b->c->ctx, E_ARGUMENT,
          "%s does not build: nothing to search for", b->c->operand[2]);
    CHECK(b->states[*hi] == SLOW, b->c->ctx, E_ARGUMENT,
          "%s is not slower than %s in %s: nothing to search for", b->c->operand[2],
          b->c->operand[1], b->cases.cases[0].name);
    for (int i; (i = next(b, *lo, *hi)) >= 0;) {
        TRY(test(b, i, good));
        if (b->states[i] == FAST) *lo = i;
        if (b->states[i] == SLOW) *hi = i;
    }
    return SUNUP_OK;
}

/* ---- what it found ---- */

static void show(struct bisect *b, int lo, int hi)
{
    const struct track_row *row = pairs_row(b, hi);
    if (b->c->json) {
        json_t *moved = json_array();
        for (int i = 0; i < row->n_moved; i++)
            (void)json_array_append_new(moved, json_pack("{s:s, s:f}", "what", row->moved[i].what,
                                                         "seconds", row->moved[i].seconds));
        print_json(json_pack("{s:s, s:s, s:i, s:i, s:o}", "commit", b->commits[hi], "subject",
                             subject(b, hi), "tested", b->tested, "skipped", hi - lo - 1, "moved",
                             moved));
        return;
    }
    (void)printf("  first slow commit: %s %s\n", b->commits[hi], subject(b, hi));
    if (hi - lo > 1)
        (void)printf("  or one of the %d before it, which do not build\n", hi - lo - 1);
    for (int i = 0; i < row->n_moved; i++)
        (void)printf("      %+10.3g s  %s\n", row->moved[i].seconds, row->moved[i].what);
}

static sunup_status bisect(struct bisect *b)
{
    struct command *c = b->c;
    char good[PATH_ROOM];
    bool built;
    int lo, hi;
    CHECK(c->n_operands == 4, c->ctx, E_ARGUMENT,
          "sunup track bisect needs GOOD BAD CASE: two commits and a case");
    TRY(track_cases_load(c, track_suites(c), 1, &c->operand[3], &b->cases));
    CHECK(b->cases.n == 1, c->ctx, E_ARGUMENT, "'%s' is %d cases; a search needs one",
          c->operand[3], b->cases.n);
    TRY(list_commits(b, c->operand[1], c->operand[2]));
    TRY(open_worktrees(b, c->operand[1]));
    TRY(build(b, b->good, good, &built));
    CHECK(built, c->ctx, E_ARGUMENT, "%s does not build: nothing to compare with", c->operand[1]);
    TRY(search(b, good, &lo, &hi));
    show(b, lo, hi);
    return SUNUP_OK;
}

int track_bisect(struct command *c)
{
    struct bisect b = {.c = c,
                       .build = c->build != NULL ? c->build : default_build,
                       .program = c->program != NULL ? c->program : "build/sunup"};
    const int exit_status = track_done(c, bisect(&b), 0); /* says what went wrong before git can */
    close_worktrees(&b);
    track_cases_end(&b.cases);
    sunup__track_end(&b.h);
    sunup__arena_end(&b.arena);
    return exit_status;
}
