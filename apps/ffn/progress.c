/* progress.c - reading and writing the state of a long task; a file is whole, for it gets its name
 * when it is. */
#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { EVERY_S = 60 };

double ffn_now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void ffn_progress_end(struct progress *p)
{
    free(p->own);
    free(p->path);
    *p = (struct progress){0};
}

static sunup_status read_file(struct progress *p, FILE *f)
{
    const size_t n = (size_t)p->voxels;
    const bool good = fread(&p->kept, sizeof p->kept, 1, f) == 1 && p->kept.voxels == p->voxels &&
                      p->kept.n >= 0 && p->kept.n < FFN_OBJECTS &&
                      fread(p->own, sizeof *p->own, n, f) == n;
    (void)fclose(f);
    if (good) return SUNUP_OK;
    return app_error(p->ctx, SUNUP_E_FORMAT,
                     "%s: not the state of such a task; remove it to begin anew", p->path);
}

sunup_status ffn_progress_open(const struct app_run *r, const char *file, int64_t voxels,
                               struct progress *p)
{
    *p = (struct progress){.ctx = r->ctx, .voxels = voxels, .kept.voxels = voxels};
    p->own = calloc((size_t)voxels, sizeof *p->own);
    if (p->own == NULL) return app_error(r->ctx, SUNUP_E_MEMORY, "no memory for a segmentation");
    p->saved_s = ffn_now_s();
    if (r->run_dir == NULL) return SUNUP_OK;
    const size_t room = strlen(r->run_dir) + strlen(file) + 2;
    p->path = malloc(room);
    if (p->path == NULL)
        return app_error(r->ctx, SUNUP_E_MEMORY, "no memory for the name of a file");
    (void)snprintf(p->path, room, "%s/%s", r->run_dir, file);
    FILE *f = fopen(p->path, "rb");
    return f != NULL ? read_file(p, f) : SUNUP_OK;
}

/* Folders up to the last slash; what goes wrong shows when the file is opened. */
static void make_folders(char *path)
{
    for (char *at = strchr(path + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        (void)mkdir(path, 0777);
        *at = '/';
    }
}

static bool write_file(const struct progress *p, const char *path)
{
    FILE *f = fopen(path, "wb");
    if (f == NULL) return false;
    const size_t n = (size_t)p->voxels;
    const bool good =
        fwrite(&p->kept, sizeof p->kept, 1, f) == 1 && fwrite(p->own, sizeof *p->own, n, f) == n;
    return fclose(f) == 0 && good;
}

sunup_status ffn_progress_save(struct progress *p, bool now)
{
    const double s = ffn_now_s();
    if (p->path == NULL || (!now && s < p->saved_s + EVERY_S)) return SUNUP_OK;
    p->saved_s = s;
    make_folders(p->path);
    char part[4096];
    const int n = snprintf(part, sizeof part, "%s.part", p->path);
    if (n < (int)sizeof part && write_file(p, part) && rename(part, p->path) == 0) return SUNUP_OK;
    return app_error(p->ctx, SUNUP_E_FILE, "%s cannot be written", p->path);
}
