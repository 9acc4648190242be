/* 02_gradient.c - differentiate an expression of your own, with an op of your own inside.
 *
 * y = sum of cube(x)^2 / 2 + sin(x), cube given by two C functions; dy/dx = 3 x^5 + cos(x). The compiled plan runs many
 * times without allocating.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sunup.h>

enum { N = 5 };

static void cube(void *arg, const void *const *x, void *y)
{
    (void)arg;
    const double *a = x[0];
    for (int i = 0; i < N; i++) ((double *)y)[i] = a[i] * a[i] * a[i];
}

static void cube_gradient(void *arg, const void *const *x, const void *y, const void *dy,
                          void *const *dx)
{
    (void)arg;
    (void)y;
    const double *a = x[0], *d = dy;
    for (int i = 0; i < N; i++) ((double *)dx[0])[i] = 3 * a[i] * a[i] * d[i];
}

static sunup_status run(sunup_context *ctx, double *worst)
{
    sunup_graph *g = NULL;
    sunup_plan *plan = NULL;
    sunup_status s = sunup_graph_create(ctx, NULL, &g);
    if (s != SUNUP_OK) return s;
    sunup_value *x = sunup_input(g, "x", SUNUP_F64, SUNUP_SHAPE(N));
    const sunup_custom op = {.name = "cube", .forward = cube, .backward = cube_gradient};
    sunup_value *c = sunup_custom_op(&op, 1, &x, SUNUP_F64, SUNUP_SHAPE(N));
    sunup_value *e = sunup_add(sunup_scale(sunup_square(c), 0.5, 0), sunup_sin(x));
    sunup_value *y = sunup_sum(e, 0, NULL, false), *dx;
    sunup_gradient(y, 1, &x, &dx);
    sunup_value *outputs[] = {y, dx};
    s = sunup_plan_create(g, 2, outputs, &plan);

    const double at[N] = {-1.5, -0.5, 0, 0.25, 2};
    double gradient[N] = {0};
    if (s == SUNUP_OK) s = sunup_plan_set(plan, x, at, sizeof at);
    if (s == SUNUP_OK) s = sunup_plan_run(plan, (sunup_random_key){0});
    if (s == SUNUP_OK) s = sunup_plan_get(plan, dx, gradient, sizeof gradient);
    for (int i = 0; s == SUNUP_OK && i < N; i++) {
        const double want = 3 * pow(at[i], 5) + cos(at[i]);
        printf("x % .2f   dy/dx % .12f   by hand % .12f\n", at[i], gradient[i], want);
        *worst = fmax(*worst, fabs(gradient[i] - want));
    }
    sunup_plan_destroy(&plan);
    sunup_graph_destroy(&g);
    return s;
}

int main(void)
{
    sunup_context *ctx = NULL;
    double worst = 0;
    sunup_status s = sunup_context_create(NULL, &ctx);
    if (s == SUNUP_OK) s = run(ctx, &worst);
    if (s != SUNUP_OK) fprintf(stderr, "%s\n", sunup_error(ctx));
    sunup_context_destroy(&ctx);
    return s == SUNUP_OK && worst < 1e-12 ? EXIT_SUCCESS : EXIT_FAILURE;
}
