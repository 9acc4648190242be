/* track_case.c - suites: text files of cases, one a line; track.h has the grammar, bench/suites the
 * examples.
 *
 * Owes: every case with its defaults filled in and its files found, or an error with file, line and
 * the nearest word. Leaves to track_run.c what a case means. A file of a case is named as seen from
 * the folder that `bench` stands in, so that a suite says the same wherever the program is started;
 * "./x" stands beside the suite.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/system.h"
#include "base/words.h"
#include "inside.h"
#include "track_run.h"

enum { MOST_WORDS = CASE_WORDS + CASE_SETTINGS + 16, MOST_HINTS = 1024 };
static const double default_timeout_s = 600;

struct suite {
    struct command *c;
    struct track_cases *cases;
    const char *path, *name;   /* name: the file's, without .txt */
    const char *beside, *root; /* folders of "./x" and of "x", with "/" at the end or empty */
    int line;
};

/* ---- one line ---- */

static const char *const kinds[CASE_KINDS] = {"kernel", "comm", "train", "app", "exec"};
static const char *const keys[] = {"ranks", "timeout", "seeds", "same_as", "callgrind", "format"};
enum { N_KEYS = sizeof keys / sizeof *keys };

static sunup_status read_number(struct suite *s, const char *key, const char *text, double *x)
{
    char *end;
    errno = 0;
    *x = strtod(text, &end);
    CHECK(errno == 0 && end != text && *end == '\0' && *x > 0 && *x <= 1e6, s->c->ctx, E_FORMAT,
          "%s is '%s'; it must be a number above 0, such as %s=2", key, text, key);
    return SUNUP_OK;
}

static sunup_status read_count(struct suite *s, const char *key, const char *text, int *n)
{
    double x;
    TRY(read_number(s, key, text, &x));
    *n = (int)x;
    CHECK(*n == x, s->c->ctx, E_FORMAT, "%s is '%s'; it must be a whole number", key, text);
    return SUNUP_OK;
}

static sunup_status read_setting(struct suite *s, const char *text, struct track_case *one)
{
    CHECK(one->n_settings + 1 < CASE_SETTINGS, s->c->ctx, E_FORMAT,
          "'%s' is one variable too many: a case has %d at most", text, CASE_SETTINGS - 1);
    one->settings[one->n_settings++] = text;
    return SUNUP_OK;
}

static sunup_status read_key(struct suite *s, char *text, struct track_case *one)
{
    char *equals = strchr(text, '='), hint[HINT_TEXT];
    CHECK(equals != NULL && equals != text, s->c->ctx, E_FORMAT,
          "'%s' stands where KEY=VALUE or ':' is expected: NAME [KEY=VALUE ...] : KIND WORDS...",
          text);
    if (isupper((unsigned char)*text)) return read_setting(s, text, one);
    *equals = '\0';
    const char *value = equals + 1;
    if (strcmp(text, "ranks") == 0) return read_count(s, text, value, &one->ranks);
    if (strcmp(text, "seeds") == 0) return read_count(s, text, value, &one->seeds);
    if (strcmp(text, "callgrind") == 0) return read_count(s, text, value, &one->callgrind);
    if (strcmp(text, "timeout") == 0) return read_number(s, text, value, &one->timeout_s);
    if (strcmp(text, "format") == 0) {
        one->format = value;
        return SUNUP_OK;
    }
    if (strcmp(text, "same_as") == 0) {
        one->same_as = value;
        return SUNUP_OK;
    }
    RAISE(s->c->ctx, E_FORMAT, "a case has no key '%s'%s", text,
          sunup__hint(hint, text, N_KEYS, keys));
}

static sunup_status read_kind(struct suite *s, const char *word, struct track_case *one)
{
    char hint[HINT_TEXT];
    for (int k = 0; k < CASE_KINDS; k++) {
        if (strcmp(kinds[k], word) != 0) continue;
        one->kind = (enum case_kind)k;
        return SUNUP_OK;
    }
    RAISE(s->c->ctx, E_FORMAT, "a case is kernel, comm, train, app or exec, not '%s'%s", word,
          sunup__hint(hint, word, CASE_KINDS, kinds));
}

/* A file's name has a '/' but no ':' or '=', by which problems and settings are known. */
static const char *find_file(struct suite *s, const char *word)
{
    if (strchr(word, '/') == NULL || strpbrk(word, ":=") != NULL || word[0] == '/') return word;
    const bool beside = strncmp(word, "./", 2) == 0;
    struct text t = {0};
    sunup__text(&t, "%s%s", beside ? s->beside : s->root, beside ? word + 2 : word);
    const char *found = t.s != NULL ? sunup__arena_strdup(&s->cases->arena, t.s) : NULL;
    sunup__free(t.s);
    return found;
}

static sunup_status read_words(struct suite *s, char **word, int n, struct track_case *one)
{
    CHECK(n > 0, s->c->ctx, E_FORMAT,
          "a case ends with its kind and what it does: %s : train run.yaml", one->name);
    TRY(read_kind(s, word[0], one));
    CHECK(n > 1, s->c->ctx, E_FORMAT, "%s of what? '%s : %s' ends there", word[0], one->name,
          word[0]);
    CHECK(n - 1 < CASE_WORDS, s->c->ctx, E_FORMAT, "%d words after '%s'; a case has %d at most",
          n - 1, word[0], CASE_WORDS - 1);
    for (int i = 1; i < n; i++) {
        one->words[one->n_words] = find_file(s, word[i]);
        CHECK(one->words[one->n_words++] != NULL, s->c->ctx, E_MEMORY, "no memory for a suite");
    }
    return SUNUP_OK;
}

static const struct track_case *find_case(const struct track_cases *cases, const char *suite,
                                          const char *name)
{
    for (int i = 0; i < cases->n; i++)
        if (strcmp(cases->cases[i].suite, suite) == 0 && strcmp(cases->cases[i].name, name) == 0)
            return &cases->cases[i];
    return NULL;
}

/* Full at 0 and at powers of two. */
static struct track_case *new_case(struct track_cases *cases)
{
    const int n = cases->n;
    if ((n & (n - 1)) == 0) {
        struct track_case *more =
            sunup__realloc(cases->cases, (n > 0 ? 2 * (size_t)n : 1) * sizeof *more);
        if (more == NULL) return NULL;
        cases->cases = more;
    }
    return &cases->cases[n];
}

static sunup_status read_case(struct suite *s, char **word, int n)
{
    struct track_case *one = new_case(s->cases);
    CHECK(one != NULL, s->c->ctx, E_MEMORY, "no memory for a suite");
    *one = (struct track_case){
        .suite = s->name, .name = word[0], .ranks = 1, .timeout_s = default_timeout_s};
    CHECK(strpbrk(word[0], "=/,") == NULL && word[0][0] != ':' && word[0][0] != '-', s->c->ctx,
          E_FORMAT, "'%s' is no name of a case: a line is NAME [KEY=VALUE ...] : KIND WORDS...",
          word[0]);
    CHECK(find_case(s->cases, s->name, one->name) == NULL, s->c->ctx, E_FORMAT,
          "there is another case '%s' above", one->name);
    int i = 1;
    for (; i < n && strcmp(word[i], ":") != 0; i++) TRY(read_key(s, word[i], one));
    TRY(read_words(s, word + i + 1, n - i - 1, one));
    s->cases->n++;
    return SUNUP_OK;
}

static sunup_status read_line(struct suite *s, char *line)
{
    char *word[MOST_WORDS], *save;
    int n = 0;
    line[strcspn(line, "#")] = '\0';
    for (char *w = strtok_r(line, " \t\r", &save); w != NULL; w = strtok_r(NULL, " \t\r", &save)) {
        CHECK(n < MOST_WORDS, s->c->ctx, E_FORMAT, "more than %d words", MOST_WORDS);
        word[n++] = w;
    }
    return n > 0 ? read_case(s, word, n) : SUNUP_OK;
}

/* ---- a file ---- */

static sunup_status read_lines(struct suite *s, char *text)
{
    for (char *line = text; line != NULL;) {
        char *end = strchr(line, '\n');
        if (end != NULL) *end = '\0';
        s->line++;
        const sunup_status status = read_line(s, line);
        if (status != SUNUP_OK)
            return sunup__raise(s->c->ctx, status, "%s:%d: %s", s->path, s->line,
                                sunup_error(s->c->ctx));
        line = end != NULL ? end + 1 : NULL;
    }
    return SUNUP_OK;
}

/* "/a/bench/suites/models.txt": beside it is /a/bench/suites/, the root /a/. A suite elsewhere has
 * itself as root. */
static sunup_status find_folders(struct suite *s)
{
    struct arena *a = &s->cases->arena;
    char *whole = realpath(s->path, NULL);
    CHECK(whole != NULL, s->c->ctx, E_FILE, "%s: %s", s->path, strerror(errno));
    strrchr(whole, '/')[1] = '\0';
    s->beside = sunup__arena_strdup(a, whole);
    char *bench = NULL;
    for (char *at = whole; (at = strstr(at, "/bench/")) != NULL; at++) bench = at;
    if (bench != NULL) bench[1] = '\0';
    s->root = sunup__arena_strdup(a, whole);
    free(whole);
    CHECK(s->beside != NULL && s->root != NULL, s->c->ctx, E_MEMORY, "no memory for a suite");
    return SUNUP_OK;
}

/* The cases' strings are the text's, so it lies in the arena. */
static sunup_status read_suite(struct command *c, struct track_cases *cases, const char *path)
{
    struct suite s = {.c = c, .cases = cases, .path = path};
    void *data = NULL;
    size_t bytes = 0;
    TRY(find_folders(&s));
    TRY(sunup__file_read(c->ctx, path, &data, &bytes));
    char *text = sunup__arena_alloc(&cases->arena, bytes + 1);
    if (text != NULL) memcpy(text, data, bytes);
    sunup__free(data);
    const char *slash = strrchr(path, '/');
    char *name = sunup__arena_strdup(&cases->arena, slash != NULL ? slash + 1 : path);
    CHECK(text != NULL && name != NULL, c->ctx, E_MEMORY, "no memory for a suite");
    CHECK(memchr(text, '\0', bytes) == NULL, c->ctx, E_FORMAT, "%s: is no text", path);
    char *dot = strstr(name, ".txt");
    if (dot != NULL) *dot = '\0';
    s.name = name;
    return read_lines(&s, text);
}

static int is_suite(const struct dirent *e)
{
    const size_t n = strlen(e->d_name);
    return n > 4 && strcmp(e->d_name + n - 4, ".txt") == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name); /* whatever the language */
}

static sunup_status read_folder(struct command *c, struct track_cases *cases, const char *folder)
{
    struct dirent **files = NULL;
    const int n = scandir(folder, &files, is_suite, by_name);
    CHECK(n >= 0, c->ctx, E_FILE, "%s: cannot be read: %s", folder, strerror(errno));
    sunup_status status = SUNUP_OK;
    for (int i = 0; i < n; i++) {
        struct text path = {0};
        sunup__text(&path, "%s/%s", folder, files[i]->d_name);
        if (status == SUNUP_OK && path.s == NULL)
            status = sunup__raise(c->ctx, SUNUP_E_MEMORY, "no memory for a suite");
        if (status == SUNUP_OK) status = read_suite(c, cases, path.s);
        sunup__free(path.s);
        free(files[i]);
    }
    free(files);
    return status;
}

/* ---- the ones that are wanted ---- */

static bool names(const char *word, const struct track_case *one)
{
    return strcmp(word, one->suite) == 0 || strcmp(word, one->name) == 0;
}

static sunup_status check_word(struct command *c, const struct track_cases *cases, const char *word)
{
    const char *known[MOST_HINTS];
    char hint[HINT_TEXT];
    int n = 0;
    for (int i = 0; i < cases->n; i++) {
        if (names(word, &cases->cases[i])) return SUNUP_OK;
        if (n + 2 > MOST_HINTS) continue;
        known[n++] = cases->cases[i].suite;
        known[n++] = cases->cases[i].name;
    }
    RAISE(c->ctx, E_ARGUMENT, "there is no suite or case '%s'%s", word,
          sunup__hint(hint, word, n, known));
}

/* same_as names a case above it, which has been measured by then. */
static sunup_status check_same(struct command *c, const struct track_cases *cases)
{
    for (int i = 0; i < cases->n; i++) {
        const struct track_case *one = &cases->cases[i];
        if (one->same_as == NULL) continue;
        const struct track_case *other = find_case(cases, one->suite, one->same_as);
        CHECK(other != NULL && other < one, c->ctx, E_FORMAT,
              "suite %s: case '%s' is to be the same as '%s', which is no case above it",
              one->suite, one->name, one->same_as);
    }
    return SUNUP_OK;
}

/* A case that another one is compared with comes along. */
static bool wanted(const struct track_cases *cases, const struct track_case *one, int n_only,
                   const char *const *only)
{
    for (int w = 0; w < n_only; w++) {
        if (names(only[w], one)) return true;
        for (int i = 0; i < cases->n; i++) {
            const struct track_case *other = &cases->cases[i];
            if (other->same_as != NULL && names(only[w], other) &&
                strcmp(other->suite, one->suite) == 0 && strcmp(other->same_as, one->name) == 0)
                return true;
        }
    }
    return n_only == 0;
}

/* An app whose data are not here, or a program that is not, is left out: it would say nothing of this build. */
static bool lacks_data(struct command *c, const struct track_case *one)
{
    if (one->kind == CASE_EXEC && !track_exec_here(one->words[0])) {
        sunup__log(c->ctx, SUNUP_LOG_WARN, "case '%s' is left out: there is no program %s", one->name,
                   one->words[0]);
        return true;
    }
    const struct app *app = one->kind == CASE_APP ? app_find(one->words[0]) : NULL;
    if (app == NULL || app_files_missing(app, false) == 0) return false;
    sunup__log(c->ctx, SUNUP_LOG_WARN,
               "case '%s' is left out: its data are missing (sunup data %s)", one->name, app->name);
    return true;
}

static sunup_status choose(struct command *c, int n_only, const char *const *only,
                           struct track_cases *cases)
{
    bool *keep = sunup__arena_alloc(&cases->arena, (size_t)cases->n + 1);
    CHECK(keep != NULL, c->ctx, E_MEMORY, "no memory for a suite");
    for (int w = 0; w < n_only; w++) TRY(check_word(c, cases, only[w]));
    for (int i = 0; i < cases->n; i++)
        keep[i] = wanted(cases, &cases->cases[i], n_only, only) && !lacks_data(c, &cases->cases[i]);
    int n = 0;
    for (int i = 0; i < cases->n; i++)
        if (keep[i]) cases->cases[n++] = cases->cases[i];
    cases->n = n;
    return SUNUP_OK;
}

static sunup_status load(struct command *c, const char *folder, struct track_cases *cases)
{
    struct stat s;
    CHECK(stat(folder, &s) == 0, c->ctx, E_FILE, "%s: no suites there: %s", folder,
          strerror(errno));
    TRY(S_ISDIR(s.st_mode) ? read_folder(c, cases, folder) : read_suite(c, cases, folder));
    CHECK(cases->n > 0, c->ctx, E_ARGUMENT, "%s: holds no case; suites are files *.txt", folder);
    return check_same(c, cases);
}

sunup_status track_cases_load(struct command *c, const char *folder, int n_only,
                              const char *const *only, struct track_cases *cases)
{
    *cases = (struct track_cases){0};
    sunup_status status = load(c, folder, cases);
    if (status == SUNUP_OK) status = choose(c, n_only, only, cases);
    if (status != SUNUP_OK) track_cases_end(cases);
    return status;
}

void track_cases_end(struct track_cases *cases)
{
    sunup__free(cases->cases);
    sunup__arena_end(&cases->arena);
    *cases = (struct track_cases){0};
}
