/* track_query.c - `sunup track query SQL`: the history as a table `rows`, in memory, made anew for each question.
 *
 * The records stay the truth: no database lies on a shared file system, and none grows stale. --output FILE leaves the
 * table as an SQLite file for other programs. One row a row of a record; facts of its run are columns too.
 */
#include <string.h>
#include <unistd.h>

#include "base/system.h"
#include "track.h"
#include "track/stats.h"

#ifdef SUNUP_HAVE_SQLITE
#include <sqlite3.h>

static const char *const table =
    "CREATE TABLE rows (run TEXT, at INTEGER, date TEXT, commit_id TEXT, machine TEXT, suite TEXT, name TEXT, "
    "engine TEXT, quantity TEXT, unit TEXT, source TEXT, ranks INTEGER, kind TEXT, n INTEGER, value REAL, "
    "mad REAL, word TEXT, outcome TEXT, message TEXT, flops REAL, bytes REAL, bound_s REAL);"
    "CREATE TABLE facts (run TEXT, key TEXT, value TEXT);";

static sunup_status sql_error(struct command *c, sqlite3 *db)
{
    RAISE(c->ctx, E_ARGUMENT, "SQLite: %s; the tables are rows and facts: `sunup track query '.tables'` shows them",
          sqlite3_errmsg(db));
}

static void bind_text(sqlite3_stmt *s, int at, const char *text)
{
    (void)sqlite3_bind_text(s, at, text, -1, SQLITE_STATIC);
}

static void bind_row(sqlite3_stmt *s, const struct track_run *run, const struct track_row *r)
{
    static const char *const kinds[TRACK_KINDS] = {"samples", "pairs", "count", "word", "outcome"};
    const bool samples = r->kind <= TRACK_PAIRS;
    const struct {
        int at;
        const char *text;
    } texts[] = {{6, r->suite}, {7, r->name},    {8, r->engine},       {9, r->quantity}, {10, r->unit},
                 {11, r->source}, {13, kinds[r->kind]}, {17, r->word}, {19, r->message}};
    (void)sqlite3_reset(s);
    bind_text(s, 1, run->id);
    (void)sqlite3_bind_int64(s, 2, run->at);
    (void)sqlite3_bind_int64(s, 3, run->at); /* made a date by the statement */
    bind_text(s, 4, sunup__track_fact(run, "commit"));
    bind_text(s, 5, sunup__track_fact(run, "machine"));
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        bind_text(s, texts[i].at, texts[i].text);
    (void)sqlite3_bind_int(s, 12, r->ranks);
    (void)sqlite3_bind_int(s, 14, r->n);
    (void)sqlite3_bind_double(s, 15, samples ? sunup__median(r->values, r->n) : r->count);
    (void)sqlite3_bind_double(s, 16, samples ? sunup__mad(r->values, r->n) : 0);
    bind_text(s, 18, r->kind == TRACK_OUTCOME ? sunup__track_outcome_name(r->outcome) : "");
    (void)sqlite3_bind_double(s, 20, r->flops);
    (void)sqlite3_bind_double(s, 21, r->bytes);
    (void)sqlite3_bind_double(s, 22, r->bound_s);
}

static bool put_run(sqlite3_stmt *row, sqlite3_stmt *fact, const struct track_run *run)
{
    bool done = true;
    for (int i = 0; i < run->n_rows && done; i++) {
        bind_row(row, run, &run->rows[i]);
        done = sqlite3_step(row) == SQLITE_DONE;
    }
    for (int i = 0; i < run->n_facts && done; i++) {
        (void)sqlite3_reset(fact);
        bind_text(fact, 1, run->id);
        bind_text(fact, 2, run->facts[i].key);
        bind_text(fact, 3, run->facts[i].value);
        done = sqlite3_step(fact) == SQLITE_DONE;
    }
    return done;
}

static sunup_status put_all(struct command *c, sqlite3 *db, const struct track_history *h)
{
    sqlite3_stmt *row = NULL, *fact = NULL;
    bool done = sqlite3_exec(db, table, NULL, NULL, NULL) == SQLITE_OK &&
                sqlite3_exec(db, "BEGIN", NULL, NULL, NULL) == SQLITE_OK &&
                sqlite3_prepare_v2(db,
                                   "INSERT INTO rows VALUES (?1, ?2, datetime(?3, 'unixepoch'), ?4, ?5, ?6, ?7, ?8, "
                                   "?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)",
                                   -1, &row, NULL) == SQLITE_OK &&
                sqlite3_prepare_v2(db, "INSERT INTO facts VALUES (?1, ?2, ?3)", -1, &fact, NULL) == SQLITE_OK;
    for (int i = 0; i < h->n_runs && done; i++) done = put_run(row, fact, &h->runs[i]);
    (void)sqlite3_finalize(row);
    (void)sqlite3_finalize(fact);
    done = done && sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK;
    return done ? SUNUP_OK : sql_error(c, db);
}

/* ---------------------------------------------------------------------------- answers --- */

static json_t *cell(sqlite3_stmt *s, int column)
{
    switch (sqlite3_column_type(s, column)) {
    case SQLITE_INTEGER: return json_integer(sqlite3_column_int64(s, column));
    case SQLITE_FLOAT: return json_real(sqlite3_column_double(s, column));
    case SQLITE_NULL: return json_null();
    default: return json_string((const char *)sqlite3_column_text(s, column));
    }
}

static void answer_line(const struct command *c, sqlite3_stmt *s, json_t *all)
{
    json_t *line = json_object();
    for (int i = 0; i < sqlite3_column_count(s); i++) {
        if (c->json) {
            (void)json_object_set_new(line, sqlite3_column_name(s, i), cell(s, i));
            continue;
        }
        const unsigned char *text = sqlite3_column_text(s, i);
        (void)printf("%s%s", i > 0 ? "\t" : "", text != NULL ? (const char *)text : "");
    }
    if (c->json)
        (void)json_array_append(all, line);
    else
        (void)printf("\n");
    json_decref(line);
}

static sunup_status ask(struct command *c, sqlite3 *db, const char *sql)
{
    sqlite3_stmt *s = NULL;
    json_t *all = json_array();
    const char *tables = "SELECT sql FROM sqlite_master";
    int state = sqlite3_prepare_v2(db, strcmp(sql, ".tables") == 0 ? tables : sql, -1, &s, NULL);
    if (state == SQLITE_OK && !c->json)
        for (int i = 0; i < sqlite3_column_count(s); i++)
            (void)printf("%s%s", sqlite3_column_name(s, i), i + 1 < sqlite3_column_count(s) ? "\t" : "\n");
    while (state == SQLITE_OK || state == SQLITE_ROW) {
        state = sqlite3_step(s);
        if (state == SQLITE_ROW) answer_line(c, s, all);
    }
    const sunup_status status = state == SQLITE_DONE ? SUNUP_OK : sql_error(c, db);
    (void)sqlite3_finalize(s);
    if (status == SUNUP_OK && c->json)
        print_json(all);
    else
        json_decref(all);
    return status;
}

static sunup_status query(struct command *c, struct track_history *h)
{
    sqlite3 *db = NULL;
    CHECK(c->n_operands == 2 || (c->n_operands == 1 && c->output != NULL), c->ctx, E_ARGUMENT,
          "sunup track query needs one SQL statement, such as \"SELECT name, value FROM rows\"");
    TRY(sunup__track_load(c->ctx, track_folder(c), h));
    if (c->output != NULL) (void)unlink(c->output);
    const int state = sqlite3_open(c->output != NULL ? c->output : ":memory:", &db);
    sunup_status status = state == SQLITE_OK ? put_all(c, db, h) : sql_error(c, db);
    if (status == SUNUP_OK && c->n_operands == 2) status = ask(c, db, c->operand[1]);
    (void)sqlite3_close(db);
    return status;
}
#else
static sunup_status query(struct command *c, struct track_history *h)
{
    (void)h;
    RAISE(c->ctx, E_UNSUPPORTED, "this sunup was built without SQLite (libsqlite3-dev)");
}
#endif

int track_query(struct command *c)
{
    struct track_history h = {0};
    const sunup_status status = query(c, &h);
    sunup__track_end(&h);
    return track_done(c, status, 0);
}
