/* halo.h - ranks that hold the slabs of one sample: what crosses between them in a plan.
 *
 * A communicator of ranks is cut into groups of neighbours; each group is the processes of
 * graph/ops/parts.h, and a halo is their link. A turn is a collective of the group: on one node the
 * ranks write to memory that all of them see and meet once, else messages go straight to who wants
 * them. It is watched as every collective is: a rank that does not come is named, with its number
 * in the whole communicator, and that is broken, too.
 */
#ifndef SUNUP_COMM_HALO_H
#define SUNUP_COMM_HALO_H

#include "comm/comm.h"
#include "graph/ops/parts.h"

struct halo;
/* Groups of `each` neighbouring ranks, which must divide their number. All ranks call it. */
sunup_status sunup__halo_create(sunup_comm *comm, int each, struct halo **h);
void sunup__halo_destroy(struct halo **h);
/* Room for what the graph's turns need at most; before it runs. All ranks of the group call it, with graphs of
 * the same turns. */
sunup_status sunup__halo_reserve(struct halo *h, const sunup_graph *g);
const struct parts_link *sunup__halo_link(struct halo *h);
/* After each run of a plan, also one that failed or was not begun: all ranks of the group return the first status
 * that is not OK, those too that wait in a turn for the rank that failed. */
sunup_status sunup__halo_settle(struct halo *h, sunup_status mine);
/* Outside of runs. */
sunup_status sunup__halo_agree(struct halo *h, sunup_status mine);
double sunup__halo_wait_s(const struct halo *h); /* waited since creation */
int64_t sunup__halo_bytes(const struct halo *h); /* of memory */

#endif
