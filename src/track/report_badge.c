/* report_badge.c - the verdict in a picture of 20 pixels height, for a README. Widths are those of
 * 11 px Verdana-like letters, about; a textLength makes them exact. */
#include <stdio.h>
#include <string.h>

#include "track/page.h"

enum { LETTER = 7, PAD = 12 };

void sunup__track_badge(struct text *t, const struct track_report *r)
{
    const struct report_state s = sunup__report_state(r);
    char says[64] = "nothing got worse";
    if (r->history->n_runs == 0)
        (void)snprintf(says, sizeof says, "no run yet");
    else if (s.failed > 0 && s.worse > 0)
        (void)snprintf(says, sizeof says, "%d failed, %d worse", s.failed, s.worse);
    else if (s.failed + s.worse > 0)
        (void)snprintf(says, sizeof says, "%d %s", s.failed + s.worse,
                       s.failed > 0 ? "failed" : "worse");
    const char *colour = r->history->n_runs == 0 ? "#5a6472"
                         : s.failed              ? "#b3261e"
                         : s.worse               ? "#8a5a00"
                                                 : "#1b6e3c";
    const int left = 5 * LETTER + PAD, text = (int)strlen(says) * LETTER, right = text + PAD;
    sunup__text(t,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"20\" role=\"img\" "
                "aria-label=\"track: %s\"><title>",
                left + right, says);
    sunup__put_short(t, r->title, 100);
    sunup__text(t,
                ": %s</title><path fill=\"#3a424e\" d=\"M0 0h%dv20H0z\"/><path fill=\"%s\" d=\"M%d "
                "0h%dv20h-%dz\"/>"
                "<g fill=\"#fff\" font-family=\"Verdana,DejaVu Sans,sans-serif\" font-size=\"11\">"
                "<text x=\"%d\" y=\"14\" textLength=\"%d\">track</text><text x=\"%d\" y=\"14\" "
                "textLength=\"%d\">%s</text>"
                "</g></svg>\n",
                says, left, colour, left, right, right, PAD / 2, left - PAD, left + PAD / 2, text,
                says);
}
