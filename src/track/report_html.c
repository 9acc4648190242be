/* report_html.c - the page: its head, the verdict, the facts, and the order of everything else.
 *
 * One file that can be mailed: CSS and pictures stand in it, nothing is fetched. The script only
 * adds: a filter over cases, and titles shown on touch, where nothing hovers. It holds neither '<'
 * nor '&', so that the page stays XML. Long parts are closed <details>; cases out of sight are not
 * laid out (content-visibility). Of 1,000 series over 260 weeks the page takes 2 MB.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "track/page.h"

static const char css[] =
    ":root{color-scheme:light dark;--fg:#1c2430;--dim:#5a6472;--line:#d8dde4;--bg:#fff;"
    "--soft:#f4f6f9;--bad:#b3261e;--good:#1b6e3c;--warn:#8a5a00;--e0:#0b5f8a;--e1:#b35c00;"
    "--e2:#6a3fa0;--e3:#00796b;--e4:#a0306e;--e5:#666}"
    "@media(prefers-color-scheme:dark){:root{--fg:#e4e8ee;--dim:#9aa5b3;--line:#37404c;"
    "--bg:#12161c;--soft:#1b212a;--bad:#ff8a80;--good:#7bd39b;--warn:#f0c36d;--e0:#6cc0ee;"
    "--e1:#f2a65a;--e2:#bf9df0;--e3:#5fd0c0;--e4:#f08bc0;--e5:#aaa}}*{box-sizing:border-box}"
    "body{font:15px/1.45 system-ui,sans-serif;color:var(--fg);background:var(--bg);"
    "max-width:1180px;margin:0 auto;padding:16px;overflow-wrap:anywhere}"
    "h1{font-size:1.15rem;margin:0 0 .5rem;color:var(--dim);font-weight:600}"
    "h2{font-size:1.2rem;margin:2.2rem 0 .6rem;border-bottom:1px solid var(--line);"
    "padding-bottom:.2rem}h3{font-size:1rem;margin:0 0 .3rem}h4{font-size:.95rem;margin:.9rem 0 "
    ".2rem;font-weight:600}p{margin:.3rem 0}small,.dim{color:var(--dim);font-size:.86rem;"
    "font-weight:400}pre{white-space:pre-wrap;margin:.3rem "
    "0;padding:.4rem .6rem;background:var(--soft);font-size:.8rem}"
    ".verdict{border-left:10px solid;padding:.7rem 1rem;background:var(--soft);margin:0 0 1rem}"
    ".verdict p:first-child{font-size:1.4rem;font-weight:650;line-height:1.25}"
    ".verdict p{margin:.15rem 0}.verdict.ok{border-color:var(--good)}"
    ".verdict.worse{border-color:var(--warn)}.verdict.failed{border-color:var(--bad)}"
    "article{border:1px solid var(--line);border-left:5px solid var(--bad);padding:.6rem .9rem;"
    "margin:.7rem 0;border-radius:3px;display:grid;grid-template-columns:minmax(0,1fr) minmax(0,"
    "1fr);gap:.4rem 1.5rem}article.good{border-left-color:var(--good)}.tag{color:var(--bad)}"
    ".good .tag{color:var(--good)}nav a{margin-right:1rem;white-space:nowrap}a{color:var(--e0)}"
    "details{margin:.5rem 0}summary{cursor:pointer;padding:.3rem 0;font-weight:600}"
    ".box{overflow-x:auto;max-width:100%}.box.end{direction:rtl}.box.end table{direction:ltr;"
    "margin:0 auto 0 0}table{border-collapse:collapse;font-size:.86rem}"
    "td,th{padding:2px 8px;text-align:left;border-bottom:1px solid var(--line);"
    "vertical-align:top}th{font-weight:600}.num{text-align:right}.num,.moved "
    "td{white-space:nowrap}svg text{fill:var(--dim);font-size:12px}.s{width:240px;height:36px}"
    ".s,.big{overflow:visible;display:block}.big{width:100%;max-width:640px;height:auto}"
    ".big text{font-size:22px}.l{fill:none;stroke-width:3}.s .e0,.big .e0{stroke-width:4}"
    ".big circle,.s circle{fill:var(--e0)}.w{stroke:var(--bad);fill:var(--bad);stroke-width:3}"
    ".pairs .again{fill:none;stroke:var(--e0);stroke-width:2}.zero{stroke:var(--fg);"
    "stroke-dasharray:6 4}.b{stroke:var(--good);fill:var(--good);stroke-width:3}"
    ".grid{stroke:var(--line);fill:none}.e0{stroke:var(--e0)}.e1{stroke:var(--e1);"
    "stroke-dasharray:9 5}.e2{stroke:var(--e2);stroke-dasharray:3 4}"
    ".e3{stroke:var(--e3);stroke-dasharray:14 4 3 4}.e4{stroke:var(--e4);stroke-dasharray:5 3}"
    ".e5{stroke:var(--e5);stroke-dasharray:2 6}.key{width:34px;height:8px;display:inline-block;"
    "margin-right:.4em;vertical-align:middle}.c{content-visibility:auto;"
    "contain-intrinsic-size:auto 90px;border-top:1px solid var(--line)}"
    ".m{display:grid;grid-template-columns:minmax(0,9rem) 250px minmax(0,1fr);gap:.2rem 1rem;"
    "align-items:center;margin:.25rem 0}.m p{margin:0}.share{display:inline-block;width:60px;"
    "height:.6em;background:var(--line);margin:0 .3em}.share i{display:block;height:100%;"
    "background:var(--e0)}.cal{border-collapse:separate;border-spacing:1px}"
    ".cal td{padding:0;width:17px;min-width:17px;height:17px;text-align:center;font:600 "
    "11px/17px system-ui,sans-serif;border:0;background:var(--soft);color:var(--dim)}"
    ".cal th{font-weight:400;border:0;padding:0 6px 0 0;position:sticky;left:0;"
    "background:var(--bg);max-width:12.4rem;font-size:.8rem;min-width:8rem;white-space:nowrap;"
    "overflow:hidden;text-overflow:ellipsis}.cal thead th{position:static;min-width:0;"
    "font-size:.75rem;color:var(--dim);white-space:nowrap;overflow:hidden;max-width:0;"
    "border-left:1px solid var(--line);padding-left:2px}.cal thead th:first-child{border:0}"
    ".cal small{font-size:1em}.cal .k0{background:color-mix(in srgb,var(--good) 20%,var(--bg))}"
    ".cal .k1{background:color-mix(in srgb,var(--warn) 45%,var(--bg));color:var(--fg)}"
    ".cal .k2{background:var(--bad);color:var(--bg)}.cal .k3{background:color-mix(in srgb,"
    "var(--dim) 55%,var(--bg));color:var(--fg)}.row td{float:left;margin:0 1px 1px 0}"
    ".bar{display:inline-block;height:.7em;background:var(--e1);margin-right:.5em;min-width:2px}"
    ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,430px),1fr));"
    "gap:1.2rem}figure{margin:0;min-width:0}figcaption{font-weight:600;font-size:.92rem}"
    ".charts .box svg,.roof svg{width:100%;height:auto;min-width:340px}"
    ".roof svg{min-width:640px;max-width:900px}.legend{margin-right:1em}.mark{stroke-width:2}"
    ".c0{fill:var(--e0);stroke:var(--e0)}.c1{fill:var(--e1);stroke:var(--e1)}"
    ".c2{fill:var(--e2);stroke:var(--e2)}.c3{fill:var(--e3);stroke:var(--e3)}"
    ".c4{fill:none;stroke:var(--e4)}.c5{fill:none;stroke:var(--e5)}"
    ".roof{overflow-x:auto;direction:rtl}.roof svg{direction:ltr;display:block;margin:0 auto 0 0}"
    ".roof polyline{stroke:var(--fg);stroke-width:2;fill:none}.ours{fill:hsl(var(--hue) 65% 50%);"
    "stroke:var(--bg)}.other{fill:none;stroke:hsl(var(--hue) 45% 55%);stroke-width:1.5}"
    "#filter{font:inherit;padding:.35rem .6rem;width:100%;max-width:28rem}"
    "label{display:block;font-weight:600}#tip{position:fixed;left:8px;right:8px;bottom:8px;"
    "background:var(--fg);color:var(--bg);padding:.5rem .8rem;border-radius:4px;"
    "white-space:pre-line;max-width:40rem}[hidden]{display:none!important}"
    ".pairs{margin:.2rem 0 .9rem}@media(max-width:720px){body{padding:10px}"
    "article,.m{grid-template-columns:minmax(0,1fr)}.cal th{max-width:8.5rem;font-size:.78rem}"
    ".cal tbody th{white-space:normal}h2{margin-top:1.6rem}article{padding:.5rem .6rem}"
    ".big text{font-size:30px}.bar{display:none}}";

/* Words of the filter must all occur in a case; of a hidden suite nothing is seen. */
static const char script[] =
    "const box=document.getElementById('search'),field=document.getElementById('filter'),"
    "said=document.getElementById('hits'),tip=document.getElementById('tip');"
    "box.hidden=false;"
    "field.addEventListener('input',()=>{"
    "const words=field.value.toLowerCase().split(' ').filter(w=>w);let all=0;"
    "for(const suite of document.querySelectorAll('details.g')){let n=0;"
    "for(const c of suite.querySelectorAll('.c')){"
    "const text=(suite.dataset.suite+' '+c.textContent).toLowerCase();"
    "c.hidden=!words.every(w=>text.includes(w));if(!c.hidden)n++}"
    "suite.hidden=n===0;suite.open=words.length!==0;all+=n}"
    "said.textContent=words.length?all+' cases':''});"
    "document.addEventListener('click',e=>{let n=e.target,text=null;"
    "while(n instanceof Element){const own=n.querySelector(':scope>title');"
    "text=n.getAttribute('title')||(own?own.textContent:null);if(text)break;n=n.parentNode}"
    "tip.hidden=!text;tip.textContent=text||''});";

/* ---------------------------------------------------------------------- of a series --- */

int sunup__page_series_number(const struct page *p, const struct track_series *s)
{
    const struct track_table *t = &p->v->table;
    return t->n > 0 && s >= t->series && s < t->series + t->n ? (int)(s - t->series) : -1;
}

void sunup__page_where(const struct page *p, const struct track_series *s)
{
    const bool told = p->many_machines && s->machine[0] != '\0';
    if (s->key->ranks != 1) sunup__text(p->t, "%d ranks%s", s->key->ranks, told ? ", " : "");
    if (told) sunup__put_short(p->t, s->machine, 100);
}

double sunup__page_newest(const struct track_series *s)
{
    return s->n > 0 ? s->points[s->n - 1].value : NAN;
}

const char *sunup__page_value(char *room, const struct track_series *s, double value)
{
    if (s->key->kind == TRACK_PAIRS) return sunup__percent(room, exp(value) - 1);
    if (s->key->kind == TRACK_COUNT && value == rint(value) && fabs(value) < 1e15) {
        (void)snprintf(room, HUMAN_TEXT, "%.0f%s%.32s", value, s->key->unit[0] != '\0' ? " " : "",
                       s->key->unit);
        return room; /* exact, whatever its unit */
    }
    return sunup__human(room, value, s->key->unit);
}

/* --------------------------------------------------------------------- verdict, facts --- */

static bool is_newest(const struct page *p, int run)
{
    return p->newest[run] == run;
}

static void put_fact(struct text *t, const char *before, const char *fact, const char *after)
{
    if (fact[0] == '\0') return;
    sunup__text(t, "%s", before);
    sunup__put_short(t, fact, 120);
    sunup__text(t, "%s", after);
}

/* "aurora, commit 3f2a, 2026-11-23": a line a machine. */
static void put_origins(const struct page *p)
{
    for (int i = 0; i < p->h->n_runs; i++) {
        const struct track_run *run = &p->h->runs[i];
        char day[DAY_TEXT];
        if (!is_newest(p, i)) continue;
        sunup__text(p->t, "<p>");
        put_fact(p->t, "", sunup__track_fact(run, "machine"), ", ");
        put_fact(p->t, "commit <code>", sunup__track_fact(run, "commit"), "</code>, ");
        sunup__text(p->t, "%s <small>run ", sunup__day(day, run->at));
        sunup__put_short(p->t, run->id, 120);
        sunup__text(p->t, "</small></p>\n");
    }
}

static void put_verdict(const struct page *p)
{
    const struct report_state s = sunup__report_state(p->r);
    char sentence[128];
    sunup__report_sentence(&s, sentence, sizeof sentence);
    const bool none = p->h->n_runs == 0;
    sunup__text(p->t, "<div class=\"verdict %s\" role=\"status\"><p>",
                s.failed  ? "failed"
                : s.worse ? "worse"
                          : "ok");
    if (none)
        sunup__text(p->t, "There is no run yet.");
    else
        sunup__text(p->t, "%s %c%s.",
                    s.failed  ? "✖"
                    : s.worse ? "▲"
                              : "✔",
                    sentence[0] >= 'a' ? sentence[0] - 'a' + 'A' : sentence[0], sentence + 1);
    sunup__text(p->t, "</p>\n");
    if (s.better > 0)
        sunup__text(p->t, "<p>%d thing%s got better.</p>\n", s.better, s.better > 1 ? "s" : "");
    if (s.recovered > 0)
        sunup__text(p->t, "<p>%d case%s no longer fail%s.</p>\n", s.recovered,
                    s.recovered > 1 ? "s" : "", s.recovered > 1 ? "" : "s");
    put_origins(p);
    sunup__text(p->t, "</div>\n");
}

static void put_facts(const struct page *p)
{
    sunup__text(p->t, "<h2 id=\"facts\">Facts of the newest runs</h2>\n");
    for (int i = 0; i < p->h->n_runs; i++) {
        const struct track_run *run = &p->h->runs[i];
        if (!is_newest(p, i)) continue;
        sunup__text(p->t, "<details><summary>");
        put_fact(p->t, "", sunup__track_fact(run, "machine"), ": ");
        sunup__put_short(p->t, run->id, 120);
        sunup__text(p->t, "</summary><div class=\"box\"><table>\n");
        for (int j = 0; j < run->n_facts; j++) {
            sunup__text(p->t, "<tr><th scope=\"row\">");
            sunup__put_short(p->t, run->facts[j].key, 200);
            sunup__text(p->t, "</th><td>");
            sunup__put_short(p->t, run->facts[j].value, 2000);
            sunup__text(p->t, "</td></tr>\n");
        }
        sunup__text(p->t, "</table></div></details>\n");
    }
}

/* ------------------------------------------------------------------------------ page --- */

static const struct track_series *series_at(const struct track_verdict *v, int i)
{
    return i < v->table.n ? &v->table.series[i] : &v->outcomes.series[i - v->table.n];
}

/* From the back, so that each list is in the order of the findings, and the newest run is met
 * first. */
static bool index_of(struct page *p)
{
    const struct track_verdict *v = p->v;
    p->first = sunup__alloc(((size_t)v->table.n + 1) * sizeof(int));
    p->next = sunup__alloc(((size_t)v->n + 1) * sizeof(int));
    p->newest = sunup__alloc(((size_t)p->h->n_runs + 1) * sizeof(int));
    if (p->first == NULL || p->next == NULL || p->newest == NULL) return false;
    for (int i = 0; i < v->table.n; i++) p->first[i] = -1;
    for (int i = v->n - 1; i >= 0; i--) {
        const int s = sunup__page_series_number(p, v->findings[i].series);
        p->next[i] = s >= 0 ? p->first[s] : -1;
        if (s >= 0) p->first[s] = i;
    }
    for (int i = 1; i < v->table.n + v->outcomes.n && !p->many_machines; i++)
        p->many_machines = strcmp(series_at(v, i)->machine, series_at(v, 0)->machine) != 0;
    for (int i = p->h->n_runs - 1; i >= 0; i--) {
        const char *machine = sunup__track_fact(&p->h->runs[i], "machine");
        p->newest[i] = i;
        for (int j = i + 1; j < p->h->n_runs; j++)
            if (is_newest(p, j) &&
                strcmp(sunup__track_fact(&p->h->runs[j], "machine"), machine) == 0)
                p->newest[i] = j;
    }
    return true;
}

static void put_head(const struct page *p)
{
    sunup__text(p->t,
                "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"
                "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"/><title>");
    sunup__put_short(p->t, p->r->title, 200);
    sunup__text(p->t, "</title>\n<style>%s</style></head><body><main>\n<h1>", css);
    sunup__put_short(p->t, p->r->title, 200);
    sunup__text(p->t, "</h1>\n");
}

void sunup__track_html(struct text *t, const struct track_report *r)
{
    struct page p = {.t = t, .r = r, .h = r->history, .v = r->verdict};
    if (index_of(&p)) {
        put_head(&p);
        put_verdict(&p);
        sunup__text(
            t,
            "<nav aria-label=\"parts\"><a href=\"#new\">New</a><a href=\"#stability\">Stability</a>"
            "<a href=\"#series\">Series</a><a href=\"#curves\">Roofline and scaling</a>"
            "<a href=\"#old\">Older findings</a><a href=\"#facts\">Facts</a></nav>\n");
        sunup__page_findings(&p, true);
        sunup__page_stability(&p);
        sunup__page_series(&p);
        sunup__page_roofline(&p);
        sunup__page_curves(&p);
        sunup__page_findings(&p, false);
        put_facts(&p);
        sunup__text(t,
                    "<div id=\"tip\" hidden=\"hidden\" "
                    "role=\"tooltip\"></div></main>\n<script>%s</script></body></html>\n",
                    script);
    } else {
        sunup__text_fail(t);
    }
    sunup__free(p.first);
    sunup__free(p.next);
    sunup__free(p.newest);
}
