/* file.c - whole files, so that no reader ever sees half of one.
 *
 * Write: temporary name in the same folder, write, fsync, rename, fsync of the folder. A crash at any moment leaves
 * the old file or the new one, and at worst a temporary file that the next write of the same name replaces.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/context.h"
#include "base/counters.h"
#include "base/memory.h"
#include "base/system.h"

static bool write_all(int fd, const char *p, size_t bytes)
{
    while (bytes > 0) {
        const ssize_t n = write(fd, p, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        p += n;
        bytes -= (size_t)n;
    }
    return true;
}

static void sync_folder_of(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash != NULL) slash[slash == path] = '\0';
    const int fd = open(slash != NULL ? path : ".", O_RDONLY | O_DIRECTORY);
    if (fd < 0) return;
    (void)fsync(fd); /* some file systems refuse; the rename itself is still atomic */
    (void)close(fd);
}

static sunup_status write_and_rename(sunup_context *ctx, const char *path, char *temporary,
                                     const void *data, size_t bytes)
{
    sunup__count(COUNT_FILES, 1);
    const int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    CHECK(fd >= 0, ctx, E_FILE, "%s: cannot be created: %s", temporary, strerror(errno));
    const bool written = write_all(fd, data, bytes) && fsync(fd) == 0;
    const int why = errno;
    const bool closed = close(fd) == 0;
    if (!written || !closed || rename(temporary, path) != 0) {
        const int reason = written ? errno : why;
        (void)unlink(temporary);
        RAISE(ctx, E_FILE, "%s: cannot be written (%zu bytes): %s", path, bytes, strerror(reason));
    }
    sync_folder_of(temporary);
    return SUNUP_OK;
}

sunup_status sunup__file_write(sunup_context *ctx, const char *path, const void *data, size_t bytes)
{
    struct text temporary = {0};
    sunup__text(&temporary, "%s.partial", path);
    CHECK(temporary.s != NULL, ctx, E_MEMORY, "%s: no memory for its name", path);
    const sunup_status status = write_and_rename(ctx, path, temporary.s, data, bytes);
    sunup__free(temporary.s);
    return status;
}

static sunup_status read_open(sunup_context *ctx, const char *path, int fd, void **data,
                              size_t *bytes)
{
    struct stat st;
    CHECK(fstat(fd, &st) == 0, ctx, E_FILE, "%s: %s", path, strerror(errno));
    CHECK(S_ISREG(st.st_mode), ctx, E_FILE, "%s: is not a regular file", path);
    const size_t size = (size_t)st.st_size;
    CHECK((int64_t)size < sunup__memory_available(), ctx, E_MEMORY,
          "%s: %zu bytes do not fit into memory", path, size);
    char *p = sunup__alloc_aligned(size + 1);
    CHECK(p != NULL, ctx, E_MEMORY, "%s: no memory for its %zu bytes", path, size);
    size_t at = 0;
    while (at < size) {
        const ssize_t n = read(fd, p + at, size - at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            sunup__free(p);
            RAISE(ctx, E_FILE, "%s: byte %zu of %zu: %s", path, at, size,
                  n == 0 ? "ended early; is it being written?" : strerror(errno));
        }
        at += (size_t)n;
    }
    p[size] = '\0'; /* so that text may be read as a string */
    *data = p;
    *bytes = size;
    return SUNUP_OK;
}

sunup_status sunup__file_read(sunup_context *ctx, const char *path, void **data, size_t *bytes)
{
    *data = NULL;
    *bytes = 0;
    sunup__count(COUNT_FILES, 1);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0, ctx, E_FILE, "%s: cannot be opened: %s", path, strerror(errno));
    const sunup_status status = read_open(ctx, path, fd, data, bytes);
    (void)close(fd);
    return status;
}

sunup_status sunup__make_folder(sunup_context *ctx, const char *path)
{
    char *copy = sunup__strdup(path);
    CHECK(copy != NULL, ctx, E_MEMORY, "%s: no memory for its name", path);
    int failed = 0;
    for (char *p = copy + (copy[0] == '/'); !failed; p++) {
        if (*p != '/' && *p != '\0') continue;
        const char kept = *p;
        *p = '\0';
        if (mkdir(copy, 0755) != 0 && errno != EEXIST) failed = errno;
        *p = kept;
        if (kept == '\0') break;
    }
    sunup__free(copy);
    struct stat st;
    if (!failed && (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))) failed = ENOTDIR;
    CHECK(!failed, ctx, E_FILE, "%s: the folder cannot be made: %s", path, strerror(failed));
    return SUNUP_OK;
}

bool sunup__file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

FILE *sunup__file_open(const char *path, const char *mode)
{
    sunup__count(COUNT_FILES, 1);
    return fopen(path, mode);
}
