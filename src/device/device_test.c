/* device_test.c - a context opens its device once, unknown names are told, makers come in order,
 * the template runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "device/device.h"
#include "device/template/template.c" /* compiled here, so that what people copy stays right */

static sunup_context *context(const char *device, const char *isa)
{
    unsetenv("SUNUP_DEVICE"); /* this test chooses */
    unsetenv("SUNUP_ISA");
    sunup_context_options o = sunup_context_defaults();
    o.device = device;
    o.isa = isa;
    o.threads = 2;
    sunup_context *ctx;
    assert_int_equal(sunup_context_create(&o, &ctx), SUNUP_OK);
    return ctx;
}

static void opens_once(void **state)
{
    (void)state;
    sunup_context *ctx = context("cpu", NULL);
    struct device *d, *again;
    assert_int_equal(sunup__device(ctx, &d), SUNUP_OK);
    assert_int_equal(sunup__device(ctx, &again), SUNUP_OK);
    assert_ptr_equal(d, again);
    assert_string_equal(d->ops->name, "cpu");
    assert_int_equal(d->threads, 2);
    const struct kernels *k;
    assert_int_equal(sunup__kernels(ctx, &k), SUNUP_OK);
    assert_ptr_equal(d->kernels, k);
    sunup_context_destroy(&ctx);
}

static void environment_overrides(void **state)
{
    (void)state;
    setenv("SUNUP_DEVICE", "memcheck", 1);
    setenv("SUNUP_ISA", "ref", 1);
    sunup_context *ctx;
    struct device *d;
    assert_int_equal(sunup_context_create(NULL, &ctx), SUNUP_OK);
    assert_int_equal(sunup__device(ctx, &d), SUNUP_OK);
    assert_string_equal(d->ops->name, "memcheck");
    assert_string_equal(d->kernels->isa, "ref");
    assert_string_equal(sunup_context_isa(ctx), "ref");
    sunup_context_destroy(&ctx);
}

static void unknown_names_are_told(void **state)
{
    (void)state;
    struct device *d;
    sunup_context *ctx = context("gpu9", NULL);
    assert_int_equal(sunup__device(ctx, &d), SUNUP_E_ARGUMENT);
    assert_non_null(strstr(sunup_error(ctx), "gpu9"));
    assert_non_null(strstr(sunup_error(ctx), "cpu, memcheck"));
    sunup_context_destroy(&ctx);
    ctx = context("cpu", "avx9000");
    assert_int_equal(sunup__device(ctx, &d), SUNUP_E_UNSUPPORTED);
    assert_non_null(strstr(sunup_error(ctx), "avx9000"));
    sunup_context_destroy(&ctx);
}

static void inherits_what_is_null(void **state)
{
    (void)state;
    sunup_context *ctx = context("memcheck", NULL);
    struct device *d;
    assert_int_equal(sunup__device(ctx, &d), SUNUP_OK);
    assert_ptr_equal(d->ops->alloc, sunup__device_cpu.alloc);
    assert_ptr_equal(d->ops->free, sunup__device_cpu.free);
    assert_non_null(d->ops->before);
    assert_false(d->ops->share);
    assert_true(sunup__device_cpu.share);
    void *memory;
    assert_int_equal(d->ops->alloc(d, 1000, &memory), SUNUP_OK);
    assert_int_equal((uintptr_t)memory % 64, 0);
    d->ops->free(d, memory);
    sunup_context_destroy(&ctx);
}

static sunup_value *sum(sunup_graph *g, sunup_dtype dtype)
{
    sunup_graph_scope(g, sunup_dtype_name(dtype));
    return sunup_add(sunup_input(g, "a", dtype, SUNUP_SHAPE(5)),
                     sunup_input(g, "b", dtype, SUNUP_SHAPE(5)));
}

static void last_maker_does_every_op(void **state)
{
    (void)state;
    sunup_context *ctx = context("memcheck", NULL);
    struct device *d;
    assert_int_equal(sunup__device(ctx, &d), SUNUP_OK);
    sunup_graph *g;
    assert_int_equal(sunup_graph_create(ctx, NULL, &g), SUNUP_OK);
    const struct node *n = sum(g, SUNUP_F32)->node;
    const struct maker *list[8];
    assert_true(sunup__makers(d, n, list, 8) >= 1); /* those of optional libraries come after ours */
    assert_string_equal(list[0]->name, "op_run");
    assert_int_equal(sunup__makers(d, n, list, 0), 0);
    const struct op *op;
    for (int i = 0; (op = sunup__op_at(i)) != NULL; i++)
        assert_true(op->run != NULL || (op->flags & (OP_SOURCE | OP_VIEW)) != 0);
    sunup_graph_destroy(&g);
    sunup_context_destroy(&ctx);
}

/* The template is no device of the build; it is asked as the planner would. */
static void template_makes_a_step(void **state)
{
    (void)state;
    sunup_context *ctx = context("cpu", NULL);
    struct device *cpu;
    assert_int_equal(sunup__device(ctx, &cpu), SUNUP_OK);
    struct device d = *cpu;
    d.ops = &sunup__device_template;
    sunup_graph *g;
    assert_int_equal(sunup_graph_create(ctx, NULL, &g), SUNUP_OK);
    const struct maker *m = &d.ops->makers[0][0];
    const struct node *f32 = sum(g, SUNUP_F32)->node, *f64 = sum(g, SUNUP_F64)->node;
    assert_true(m->can(&d, f32));
    assert_false(m->can(&d, f64));
    struct step s = {.maker = m, .node = f32, .device = &d};
    assert_int_equal(m->make(&d, f32, &s), SUNUP_OK);
    float a[5] = {1, 2, 3, 4, 5}, b[5] = {10, 20, 30, 40, 50}, y[5] = {0};
    void *in[] = {a, b}, *out[] = {y};
    s.in = in;
    s.out = out;
    const sunup_random_key key = {0};
    assert_int_equal(s.run(&s, &key), SUNUP_OK);
    for (int i = 0; i < 5; i++) assert_true(y[i] == a[i] + b[i]);
    sunup_graph_destroy(&g);
    sunup_context_destroy(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_once),
        cmocka_unit_test(environment_overrides),
        cmocka_unit_test(unknown_names_are_told),
        cmocka_unit_test(inherits_what_is_null),
        cmocka_unit_test(last_maker_does_every_op),
        cmocka_unit_test(template_makes_a_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
