/* build.c - what this program was built from and with, and which libraries it found when it
 * started.
 *
 * Versions of MPI and oneDNN are asked of the libraries that are loaded, by name: they may have
 * been replaced since the build, and a program without them has no such names.
 */
#include <dlfcn.h>
#include <string.h>

#include "commit.h" /* made by cmake/commit.cmake */
#include "program.h"

/* "Open MPI v4.1.4": the rest tells where and when it was built. */
static void put_mpi(json_t *j)
{
    char name[8192] = "";
    int n = 0;
    int (*ask)(char *, int *) = NULL;
    void *symbol = dlsym(RTLD_DEFAULT, "MPI_Get_library_version");
    if (symbol == NULL) return;
    memcpy(&ask, &symbol, sizeof ask); /* ISO C converts no object pointer to a function */
    (void)ask(name, &n);
    for (char *s = name; *s != '\0'; s++)
        if (*s == '\t') *s = ' ';
    const char *number =
        strncmp(name, "MPICH Version:", 14) == 0 ? name + 14 + strspn(name + 14, " ") : NULL;
    json_t *word = number != NULL ? json_sprintf("MPICH %.*s", (int)strcspn(number, ",\n"), number)
                                  : json_sprintf("%.*s", (int)strcspn(name, ",\n"), name);
    (void)json_object_set_new(j, "mpi", word);
}

static void put_onednn(json_t *j)
{
    struct {
        int major, minor, patch;
    } const *v;
    const void *(*ask)(void) = NULL;
    void *symbol = dlsym(RTLD_DEFAULT, "dnnl_version");
    if (symbol == NULL) return;
    memcpy(&ask, &symbol, sizeof ask);
    v = ask();
    (void)json_object_set_new(j, "onednn", json_sprintf("%d.%d.%d", v->major, v->minor, v->patch));
}

void build_facts(json_t *j)
{
    (void)json_object_set_new(j, "version", json_string(sunup_version()));
    if (SUNUP_COMMIT[0] != '\0') {
        (void)json_object_set_new(j, "commit", json_string(SUNUP_COMMIT));
        (void)json_object_set_new(j, "dirty", json_string(SUNUP_DIRTY));
    }
    (void)json_object_set_new(j, "compiler", json_string(SUNUP_COMPILER));
    (void)json_object_set_new(j, "flags", json_string(SUNUP_FLAGS));
    put_mpi(j);
    put_onednn(j);
}
