/* bench_list.c - a list of problems: a text file with one problem a line, or a name and a problem;
 * # starts a comment. */
#include <string.h>

#include "base/system.h"
#include "bench.h"

static sunup_status read_line(struct bench *b, char *line, bench_each *each, void *arg)
{
    line[strcspn(line, "#\r")] = '\0';
    char *save, *first = strtok_r(line, " \t", &save);
    if (first == NULL) return SUNUP_OK;
    char *second = strtok_r(NULL, " \t", &save), *third = strtok_r(NULL, " \t", &save);
    CHECK(third == NULL, b->c->ctx, E_FORMAT, "'%s': a line is [NAME] PROBLEM", third);
    return second == NULL ? each(arg, "", first) : each(arg, first, second);
}

static sunup_status read_lines(struct bench *b, const char *path, char *text, bench_each *each,
                               void *arg)
{
    int number = 0;
    for (char *line = text; line != NULL;) {
        char *end = strchr(line, '\n');
        if (end != NULL) *end = '\0';
        number++;
        const sunup_status status = read_line(b, line, each, arg);
        if (status != SUNUP_OK)
            return sunup__raise(b->c->ctx, status, "%s:%d: %s", path, number,
                                sunup_error(b->c->ctx));
        line = end != NULL ? end + 1 : NULL;
    }
    return SUNUP_OK;
}

sunup_status bench_list(struct bench *b, const char *path, bench_each *each, void *arg)
{
    void *data = NULL;
    size_t bytes = 0;
    TRY(sunup__file_read(b->c->ctx, path, &data, &bytes));
    char *text = sunup__alloc(bytes + 1);
    sunup_status status = SUNUP_OK;
    if (text == NULL)
        status = sunup__raise(b->c->ctx, SUNUP_E_MEMORY, "no memory to read '%s'", path);
    else
        memcpy(text, data, bytes);
    if (status == SUNUP_OK) status = read_lines(b, path, text, each, arg);
    sunup__free(text);
    sunup__free(data);
    return status;
}
