/*-------------------------------------------------------------------------
 *
 * demand.h
 *		What background work there is, by database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_DEMAND_H
#define DASHCACHE_DEMAND_H

#include "postgres.h"

#include "access/xact.h"
#include "datatype/timestamp.h"
#include "storage/latch.h"

/* Kinds of work. */
#define DC_DEMAND_START		0x01	/* the server has started */
#define DC_DEMAND_PLAN		0x02	/* jobs or settings of dashboards changed */
#define DC_DEMAND_REFRESH	0x04	/* entries are to be refreshed */
#define DC_DEMAND_CHANGES	0x08	/* sources have changed */
#define DC_DEMAND_RUNS		0x10	/* a run waits for a worker */
#define DC_DEMAND_USES		0x20	/* what is in use has changed */
#define DC_DEMAND_ROLES		0x40	/* roles of widgets have changed */
#define DC_DEMAND_REPAIR	0x80	/* widgets of a dump are to be looked at */

/* What a database's dashboards want to be told; set by a worker. */
#define DC_WANTS_CHANGES	0x01	/* one is warmed on change */
#define DC_WANTS_USES		0x02	/* one is warmed on start */

/* Widgets of a dump are left alone until nothing has come for so long. */
#define DC_REPAIR_DELAY_US	(5 * USECS_PER_SEC)

/* The demand of one database, as the launcher sees it. */
typedef struct DcDemand
{
	Oid			database;
	uint32		what;
	TimestampTz due;			/* when jobs are due; DT_NOEND: never */
	TimestampTz look_at;		/* when there will be more to look at */
} DcDemand;

extern Size dc_demand_shmem_size(void);
extern void dc_demand_shmem_init(void *place);
extern void dc_demand_attach(void *place);

extern bool dc_demand(Oid database, uint32 what);
extern void dc_demand_changes(void);
extern void dc_demand_uses(void);
extern void dc_demand_at_commit(void);
extern void dc_demand_repair_at_commit(void);
extern void dc_demand_repair(TimestampTz at);
extern void dc_demand_put_off_repair(void);
extern void dc_demand_at_xact(XactEvent event);

extern uint32 dc_demand_take(uint32 mask);
extern uint32 dc_demand_of(Oid database);
extern void dc_demand_set_due(TimestampTz due);
extern void dc_demand_set_look(TimestampTz at);
extern void dc_demand_set_wants(uint32 wants);
extern int	dc_demand_list(DcDemand *list, int capacity, TimestampTz now);
extern void dc_demand_forget(Oid database, bool gone);
extern void dc_demand_set_launcher(Latch *latch);
extern void dc_demand_wake_launcher(void);

#endif							/* DASHCACHE_DEMAND_H */
