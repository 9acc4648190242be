/* tuning_test.c - choices are measured, written, read back and used; a file that does not fit is
 * left out with a note. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/system.h"
#include "plan/plan.h"

/* Lines of the context's log, one behind the other. */
struct log {
    char text[4096];
};

static void keep(void *arg, sunup_log_level level, const char *line)
{
    struct log *l = arg;
    const size_t n = strlen(l->text);
    snprintf(l->text + n, sizeof l->text - n, "%d %s\n", (int)level, line);
}

struct bench {
    sunup_context *ctx;
    sunup_graph *g;
    sunup_value *x, *w, *y;
    struct log log;
};

static char path[64];

static void set_up(struct bench *b, int threads)
{
    unsetenv("SUNUP_DEVICE");
    unsetenv("SUNUP_TUNING");
    unsetenv("SUNUP_THREADS");
    *b = (struct bench){0};
    sunup_context_options o = sunup_context_defaults();
    o.tuning = path;
    o.threads = threads;
    o.log = keep;
    o.log_arg = &b->log;
    assert_int_equal(sunup_context_create(&o, &b->ctx), SUNUP_OK);
    assert_int_equal(sunup_graph_create(b->ctx, NULL, &b->g), SUNUP_OK);
    b->x = sunup_input(b->g, "x", SUNUP_F32, SUNUP_SHAPE(6, 5));
    b->w = sunup_input(b->g, "w", SUNUP_F32, SUNUP_SHAPE(5, 4));
    b->y = sunup_linear(b->x, b->w, NULL);
}

static void tear_down(struct bench *b)
{
    sunup_graph_destroy(&b->g);
    sunup_context_destroy(&b->ctx);
}

/* The maker that a plan made now uses for the linear node. */
static const char *maker(struct bench *b)
{
    sunup_plan *p;
    assert_int_equal(sunup_plan_create(b->g, 1, &b->y, &p), SUNUP_OK);
    const char *name = p->steps[0].maker->name;
    sunup_plan_destroy(&p);
    return name;
}

static void write_choice(const char *problem, const char *name)
{
    struct bench b;
    unlink(path);
    set_up(&b, 1);
    assert_int_equal(sunup__tuning_set(b.ctx, problem, "nobody"), SUNUP_OK);
    assert_int_equal(sunup__tuning_set(b.ctx, problem, name), SUNUP_OK); /* replaces */
    assert_int_equal(sunup__tuning_save(b.ctx, path), SUNUP_OK);
    tear_down(&b);
}

static void a_written_choice_is_used(void **state)
{
    (void)state;
    struct bench b;
    unlink(path);
    set_up(&b, 1);
    const char *first = maker(&b);
    assert_string_not_equal(first, "op_run");
    tear_down(&b);
    write_choice("linear:m6n4k5:f32", "op_run");
    set_up(&b, 1);
    assert_string_equal(maker(&b), "op_run");
    assert_string_equal(b.log.text, "");
    tear_down(&b);
    write_choice("linear:m6n4k5:f32", "a_maker_of_the_past");
    set_up(&b, 1);
    assert_string_equal(maker(&b), first);
    tear_down(&b);
    write_choice("linear:m7n4k5:f32", "op_run");
    set_up(&b, 1);
    assert_string_equal(maker(&b), first);
    tear_down(&b);
}

static void measures_and_writes(void **state)
{
    (void)state;
    struct bench b;
    unlink(path);
    set_up(&b, 1);
    sunup_plan *p;
    assert_int_equal(sunup_plan_create(b.g, 1, &b.y, &p), SUNUP_OK);
    assert_int_equal(sunup__plan_tune(p), SUNUP_E_ARGUMENT);
    assert_non_null(strstr(sunup_error(b.ctx), "no numbers"));
    const float x[30] = {1}, w[20] = {1};
    assert_int_equal(sunup_plan_set(p, b.x, x, sizeof x), SUNUP_OK);
    assert_int_equal(sunup_plan_set(p, b.w, w, sizeof w), SUNUP_OK);
    assert_int_equal(sunup__plan_tune(p), SUNUP_OK);
    assert_int_equal(sunup__tuning_save(b.ctx, path), SUNUP_OK);
    const char *chosen = sunup__tuned(b.ctx, b.y->node);
    assert_non_null(chosen);
    char kept[64];
    snprintf(kept, sizeof kept, "%s", chosen);
    assert_string_equal(maker(&b), kept);
    sunup_plan_destroy(&p);
    tear_down(&b);
    set_up(&b, 1);
    assert_string_equal(sunup__tuned(b.ctx, b.y->node), kept);
    tear_down(&b);
}

/* Whatever byte is wrong or wherever the file ends, it is not used, and the log says so. */
static void damaged_files_are_left_out(void **state)
{
    (void)state;
    write_choice("linear:m6n4k5:f32", "op_run");
    struct bench b;
    set_up(&b, 1);
    void *data;
    size_t bytes;
    assert_int_equal(sunup__file_read(b.ctx, path, &data, &bytes), SUNUP_OK);
    char *text = sunup__alloc(bytes);
    for (size_t i = 0; i < 2 * bytes; i++) {
        const size_t at = i / 2, length = i % 2 == 0 ? bytes : at;
        memcpy(text, data, bytes);
        if (i % 2 == 0) text[at] = (char)(text[at] ^ 1);
        if (at == bytes - 1) continue; /* the last line's end says nothing */
        struct bench c;
        assert_int_equal(sunup__file_write(b.ctx, path, text, length), SUNUP_OK);
        set_up(&c, 1);
        if (sunup__tuned(c.ctx, c.y->node) != NULL)
            fail_msg("byte %zu, length %zu: used", at, length);
        assert_non_null(strstr(c.log.text, "not used"));
        tear_down(&c);
    }
    sunup__free(text);
    sunup__free(data);
    tear_down(&b);
}

static void files_of_others_are_left_out(void **state)
{
    (void)state;
    write_choice("linear:m6n4k5:f32", "op_run");
    struct bench b;
    set_up(&b, 3); /* was tuned for one thread */
    assert_null(sunup__tuned(b.ctx, b.y->node));
    assert_non_null(strstr(b.log.text, "another version, machine or setting"));
    tear_down(&b);
}

static void watched_devices_do_not_tune(void **state)
{
    (void)state;
    struct bench b;
    setenv("SUNUP_DEVICE", "memcheck", 1);
    sunup_context *ctx;
    assert_int_equal(sunup_context_create(NULL, &ctx), SUNUP_OK);
    b.ctx = ctx;
    assert_int_equal(sunup_graph_create(ctx, NULL, &b.g), SUNUP_OK);
    sunup_value *s = sunup_scalar(b.g, SUNUP_F32, 1), *y = sunup_neg(s);
    sunup_plan *p;
    assert_int_equal(sunup_plan_create(b.g, 1, &y, &p), SUNUP_OK);
    assert_int_equal(sunup__plan_tune(p), SUNUP_E_UNSUPPORTED);
    sunup_plan_destroy(&p);
    tear_down(&b);
}

static void problems_have_names(void **state)
{
    (void)state;
    struct bench b;
    unlink(path);
    set_up(&b, 1);
    char text[PROBLEM_TEXT];
    sunup_value *x = sunup_input(b.g, "image", SUNUP_F32, SUNUP_SHAPE(2, 9, 8, 6));
    sunup_value *w = sunup_input(b.g, "taps", SUNUP_F32, SUNUP_SHAPE(3, 3, 3, 4));
    sunup_conv_options o = sunup_conv_defaults();
    o.groups = 2;
    o.before[0] = o.after[0] = 1;
    o.stride[1] = 2;
    sunup__problem_text(sunup_conv(x, w, NULL, &o)->node, text, sizeof text);
    assert_string_equal(text, "conv:n2h9w8c6k4r3s3:stride1x2:pad1x0:to9x3:groups2:f32");
    sunup_value *a = sunup_input(b.g, "a", SUNUP_F64, SUNUP_SHAPE(4, 3, 2));
    sunup__problem_text(sunup_matmul(a, a, SUNUP_TRANSPOSE_B)->node, text, sizeof text);
    assert_string_equal(text, "matmul:m3n3k2:batch4:tb:f64");
    sunup__problem_text(sunup_softmax(a, -1)->node, text, sizeof text);
    assert_string_equal(text, "softmax:4x3x2:f64");
    sunup__problem_text(sunup_softmax(a, -1)->node, text, 9);
    assert_string_equal(text, "softmax:");
    tear_down(&b);
}

int main(void)
{
    snprintf(path, sizeof path, "/tmp/sunup_tuning_test_%ld.txt", (long)getpid());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_written_choice_is_used),
        cmocka_unit_test(measures_and_writes),
        cmocka_unit_test(damaged_files_are_left_out),
        cmocka_unit_test(files_of_others_are_left_out),
        cmocka_unit_test(watched_devices_do_not_tune),
        cmocka_unit_test(problems_have_names),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
