/* registry.c - the apps by name. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/words.h"
#include "inside.h"

static const struct app *const apps[] = {
#define APP(name) &app_##name,
#include "apps.def"
#undef APP
};
enum { N_APPS = sizeof apps / sizeof apps[0] };

const struct app *app_at(int i)
{
    return i >= 0 && i < N_APPS ? apps[i] : NULL;
}

const struct app *app_find(const char *name)
{
    for (int i = 0; i < N_APPS; i++)
        if (strcmp(apps[i]->name, name) == 0) return apps[i];
    return NULL;
}

sunup_status app_unknown(sunup_context *ctx, const char *name)
{
    const char *names[N_APPS];
    char hint[HINT_TEXT];
    for (int i = 0; i < N_APPS; i++) names[i] = apps[i]->name;
    RAISE(ctx, E_ARGUMENT, "there is no app '%s'%s; sunup app lists them", name,
          sunup__hint(hint, name, N_APPS, names));
}

const char *app_folder(void)
{
    const char *folder = getenv("SUNUP_APPS");
    return folder != NULL && folder[0] != '\0' ? folder : SUNUP_APPS_FOLDER;
}

sunup_status app_error(sunup_context *ctx, sunup_status status, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return sunup__raise(ctx, status, "%s", text);
}
