/* matmul.c - batched matrix product with either operand transposed.
 *
 * Owes: sunup_matmul and the plain way to run it, as blocks of rows and columns of the gemm leaf.
 * Every element of y is one chain of sums over k, whatever the blocks. A transposed b is copied
 * first, because the leaf reads b's rows; a transposed a is a matter of strides.
 */
#include "graph/ops/matmul.h"

#include "graph/ops/op.h"

enum { BLOCK_M = 64, BLOCK_N = 256 };

struct product {
    const struct exec *e;
    const struct matmul_attr *attr;
    sunup_dtype dtype;
    const void *b, *bias; /* b with rows of n */
    int64_t blocks_m, blocks_n;
};

/* One block [m][n] of y: at row i, column j of matrix s. */
struct block {
    int64_t s, i, j, m, n;
};

#define GEMM_BLOCK(REAL, BITS)                                                                     \
    static void gemm_block_##BITS(const struct product *p, const struct block *o)                  \
    {                                                                                              \
        const struct matmul_attr *t = p->attr;                                                     \
        const bool ta = t->flags & SUNUP_TRANSPOSE_A;                                              \
        struct gemm_##BITS g = {.m = o->m, .n = o->n, .k = t->k, .batch = 1};                      \
        g.a_row = ta ? 1 : t->k;                                                                   \
        g.a_col = ta ? t->m : 1;                                                                   \
        g.a = (const REAL *)p->e->in[0] + o->s * t->a_step + o->i * g.a_row;                       \
        g.b = (const REAL *)p->b + o->s * t->b_step + o->j;                                        \
        g.b_row = t->n;                                                                            \
        g.c = (REAL *)p->e->out[0] + (o->s * t->m + o->i) * t->n + o->j;                           \
        g.c_row = t->n;                                                                            \
        g.bias = p->bias ? (const REAL *)p->bias + o->j : NULL;                                    \
        p->e->kernels->BITS.gemm(&g);                                                              \
    }
GEMM_BLOCK(float, f32)
GEMM_BLOCK(double, f64)

static void run_block(void *arg, int64_t i)
{
    const struct product *p = arg;
    const struct matmul_attr *t = p->attr;
    const int64_t row = i / p->blocks_n % p->blocks_m * BLOCK_M, column = i % p->blocks_n * BLOCK_N;
    const struct block o = {.s = i / p->blocks_n / p->blocks_m,
                            .i = row,
                            .j = column,
                            .m = t->m - row < BLOCK_M ? t->m - row : BLOCK_M,
                            .n = t->n - column < BLOCK_N ? t->n - column : BLOCK_N};
    if (p->dtype == SUNUP_F64)
        gemm_block_f64(p, &o);
    else
        gemm_block_f32(p, &o);
}

/* Row i of all matrices of b taken together: k x n from n x k. */
static void transpose_row(void *arg, int64_t i)
{
    const struct product *p = arg;
    const struct matmul_attr *t = p->attr;
    const int64_t from = i / t->k * t->k * t->n + i % t->k, to = i * t->n;
    for (int64_t j = 0; j < t->n; ++j)
        element_set(p->e->workspace, p->dtype, to + j,
                    element_get(p->e->in[1], p->dtype, from + j * t->k));
}

void sunup__matmul_run(const struct exec *e, sunup_dtype dtype, const struct matmul_attr *attr,
                       const void *bias)
{
    struct product p = {.e = e, .attr = attr, .dtype = dtype, .b = e->in[1], .bias = bias};
    if (attr->flags & SUNUP_TRANSPOSE_B) {
        p.b = e->workspace;
        sunup__parallel(e->threads, (attr->b_step ? attr->batch : 1) * attr->k, transpose_row, &p);
    }
    p.blocks_m = (attr->m + BLOCK_M - 1) / BLOCK_M;
    p.blocks_n = (attr->n + BLOCK_N - 1) / BLOCK_N;
    sunup__parallel(e->threads, attr->batch * p.blocks_m * p.blocks_n, run_block, &p);
}

/* --- the op --- */

/* Leading axes of y: equal ones, or those of the operand that has any. */
static sunup_status leading(const struct node *n, sunup_shape *y)
{
    const sunup_value *a = n->in[0], *b = n->in[1];
    const sunup_value *longer = b->shape.n > 2 ? b : a;
    for (int i = 0; i < longer->shape.n - 2 && a->shape.n > 2 && b->shape.n > 2; ++i)
        if (a->shape.n != b->shape.n || a->shape.d[i] != b->shape.d[i])
            return sunup__op_error(n, SUNUP_E_SHAPE,
                                   "the leading axes of a %s and b %s differ; they must be "
                                   "equal, or one operand must have none",
                                   TEXT(a), TEXT(b));
    *y = longer->shape;
    return SUNUP_OK;
}

static sunup_status infer(struct node *n)
{
    TRY(sunup__floats(n, 2));
    struct matmul_attr *t = n->attr;
    const sunup_value *a = n->in[0], *b = n->in[1];
    if (a->shape.n < 2 || b->shape.n < 2)
        return sunup__op_error(n, SUNUP_E_SHAPE, "a %s and b %s must have at least 2 axes each",
                               TEXT(a), TEXT(b));
    sunup_shape y;
    TRY(leading(n, &y));
    const int64_t *da = a->shape.d + a->shape.n - 2, *db = b->shape.d + b->shape.n - 2;
    const bool ta = t->flags & SUNUP_TRANSPOSE_A, tb = t->flags & SUNUP_TRANSPOSE_B;
    t->m = da[ta], t->k = da[!ta], t->n = db[!tb];
    if (t->k != db[tb])
        return sunup__op_error(n, SUNUP_E_SHAPE, "a %s%s has %lld columns but b %s%s has %lld rows",
                               TEXT(a), ta ? " transposed" : "", (long long)t->k, TEXT(b),
                               tb ? " transposed" : "", (long long)db[tb]);
    t->batch = sunup__product(&y, 0, y.n - 2);
    t->a_step = a->shape.n > 2 ? t->m * t->k : 0;
    t->b_step = b->shape.n > 2 ? t->k * t->n : 0;
    y.d[y.n - 2] = t->m;
    y.d[y.n - 1] = t->n;
    sunup__set_out(n, 0, a->dtype, y);
    return SUNUP_OK;
}

/* C = A B: dA = dC B', dB = A' dC, and where an operand came transposed the same from the other
 * side. */
static void grad(struct node *n, sunup_value *const *dy, const bool *want, sunup_value **dx)
{
    enum { A = SUNUP_TRANSPOSE_A, B = SUNUP_TRANSPOSE_B };
    const struct matmul_attr *t = n->attr;
    const bool ta = t->flags & A, tb = t->flags & B;
    sunup_value *a = n->in[0], *b = n->in[1];
    if (want[0]) {
        sunup_value *da =
            ta ? sunup_matmul(b, dy[0], B | (tb ? A : 0)) : sunup_matmul(dy[0], b, tb ? 0 : B);
        dx[0] = sunup__sum_to(da, a->shape);
    }
    if (want[1]) {
        sunup_value *db =
            tb ? sunup_matmul(dy[0], a, A | (ta ? B : 0)) : sunup_matmul(a, dy[0], ta ? 0 : A);
        dx[1] = sunup__sum_to(db, b->shape);
    }
}

static struct cost cost(const struct node *n)
{
    const struct matmul_attr *t = n->attr;
    return (struct cost){2.0 * (double)t->batch * (double)t->m * (double)t->n * (double)t->k,
                         sunup__moved_bytes(n)};
}

static int64_t workspace(const struct node *n, int threads)
{
    (void)threads;
    const struct matmul_attr *t = n->attr;
    if (!(t->flags & SUNUP_TRANSPOSE_B)) return 0;
    return sunup__elements(&n->in[1]->shape) * sunup_dtype_bytes(n->in[1]->dtype);
}

static sunup_status run(const struct node *n, const struct exec *e)
{
    sunup__matmul_run(e, n->out[0]->dtype, n->attr, NULL);
    return SUNUP_OK;
}

sunup_value *sunup_matmul(sunup_value *a, sunup_value *b, int flags)
{
    sunup_value *const in[] = {a, b};
    sunup_graph *g = sunup__graph_of(2, in);
    const struct matmul_attr attr = {.flags = flags};
    if (g && flags & ~(SUNUP_TRANSPOSE_A | SUNUP_TRANSPOSE_B))
        return sunup__graph_error(g, SUNUP_E_ARGUMENT,
                                  "matmul: flags %d, known are SUNUP_TRANSPOSE_A (1) and "
                                  "SUNUP_TRANSPOSE_B (2)",
                                  flags);
    const bool many_rows = a && b && !sunup__is_poison(a) && !sunup__is_poison(b) &&
                           a->shape.n > 2 && b->shape.n == 2 && !(flags & SUNUP_TRANSPOSE_A);
    if (!many_rows) return sunup__node(g, &sunup__op_matmul, 2, in, &attr, 0, NULL);
    /* One b for all: the leading axes are rows, and b's gradient is one product too. */
    sunup_shape s = a->shape;
    sunup_value *rows = sunup_reshape(a, SUNUP_SHAPE(sunup__product(&s, 0, s.n - 1), s.d[s.n - 1]));
    sunup_value *y =
        sunup__node(g, &sunup__op_matmul, 2, (sunup_value *const[]){rows, b}, &attr, 0, NULL);
    if (sunup__is_poison(y)) return y;
    s.d[s.n - 1] = y->shape.d[1];
    return sunup_reshape(y, s);
}

/* --- cases --- */

static sunup_value *matmul_case(sunup_graph *g, sunup_shape a, sunup_shape b, int flags)
{
    return sunup_matmul(sunup__case_input(g, "a", a), sunup__case_input(g, "b", b), flags);
}
#define MATMUL_CASE(id, a, b, flags)                                                               \
    static sunup_value *case_##id(sunup_graph *g)                                                  \
    {                                                                                              \
        return matmul_case(g, a, b, flags);                                                        \
    }
MATMUL_CASE(plain, SUNUP_SHAPE(7, 5), SUNUP_SHAPE(5, 11), 0)
MATMUL_CASE(ta, SUNUP_SHAPE(5, 7), SUNUP_SHAPE(5, 3), SUNUP_TRANSPOSE_A)
MATMUL_CASE(tb, SUNUP_SHAPE(7, 5), SUNUP_SHAPE(13, 5), SUNUP_TRANSPOSE_B)
MATMUL_CASE(tatb, SUNUP_SHAPE(2, 5, 7), SUNUP_SHAPE(2, 3, 5), SUNUP_TRANSPOSE_A | SUNUP_TRANSPOSE_B)
MATMUL_CASE(batched, SUNUP_SHAPE(2, 3, 4, 5), SUNUP_SHAPE(2, 3, 5, 2), 0)
MATMUL_CASE(shared_b, SUNUP_SHAPE(2, 3, 5), SUNUP_SHAPE(5, 4), 0)
MATMUL_CASE(shared_a, SUNUP_SHAPE(3, 5), SUNUP_SHAPE(2, 5, 4), 0)
MATMUL_CASE(shared_ta, SUNUP_SHAPE(2, 5, 3), SUNUP_SHAPE(4, 5),
            SUNUP_TRANSPOSE_A | SUNUP_TRANSPOSE_B)
MATMUL_CASE(one, SUNUP_SHAPE(1, 1), SUNUP_SHAPE(1, 1), 0)
MATMUL_CASE(blocks, SUNUP_SHAPE(67, 2), SUNUP_SHAPE(2, 259), 0)

static const struct op_case cases[] = {
    {"matmul:m7n11k5", case_plain},
    {"matmul:m7n3k5:ta", case_ta},
    {"matmul:m7n13k5:tb", case_tb},
    {"matmul:b2m7n3k5:ta:tb", case_tatb},
    {"matmul:b6m4n2k5", case_batched},
    {"matmul:b2m3n4k5:shared-b", case_shared_b},
    {"matmul:b2m3n4k5:shared-a", case_shared_a},
    {"matmul:b2m3n4k5:ta:tb:shared-b", case_shared_ta},
    {"matmul:m1n1k1", case_one},
    {"matmul:m67n259k2", case_blocks},
};

const struct op sunup__op_matmul = {
    .name = "matmul",
    .attr_bytes = sizeof(struct matmul_attr),
    .n_out = 1,
    .infer = infer,
    .grad = grad,
    .cost = cost,
    .workspace = workspace,
    .run = run,
    .cases = cases,
    .n_cases = sizeof cases / sizeof *cases,
};
