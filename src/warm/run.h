/*-------------------------------------------------------------------------
 *
 * run.h
 *		Runs: the warming of many entries, shared by workers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_RUN_H
#define DASHCACHE_RUN_H

#include "postgres.h"

#include "datatype/timestamp.h"

/* The longest tenant that can be asked for, in bytes. */
#define DC_RUN_TENANT_LEN 1024

/* The most widgets of a run that are computed for all tenants at once. */
#define DC_RUN_SETS 256

/* What a run is to do. */
typedef struct DcRunRequest
{
	int64		id;
	int64		job;			/* 0: none */
	Oid			database;
	Oid			role;			/* whose dashboards */
	char		dashboard[NAMEDATALEN]; /* empty: all */
	bool		at_start;		/* only those that are warmed on start */
	int			hour_of_week;	/* for who is expected in it; -1: for all */
	bool		one_tenant;
	char		tenant[DC_RUN_TENANT_LEN];
} DcRunRequest;

/*
 * How its work is divided: first the widgets that are computed for all tenants
 * at once, then the tenants by their hashes.
 */
typedef struct DcRunPlan
{
	int64		planned;		/* entries */
	int			nsets;
	uint32		sets[DC_RUN_SETS];	/* IDs of widgets */
	int			nchunks;
} DcRunPlan;

/* How far it is. */
typedef struct DcRunProgress
{
	int64		id;
	int64		job;
	Oid			database;
	char		dashboard[NAMEDATALEN];
	TimestampTz started_at;
	bool		waits;			/* for a worker, to begin with */
	int64		planned;
	int64		warmed;
	int64		already_current;
	int64		failed;
	char		last_error[256];
} DcRunProgress;

typedef enum DcRunRole
{
	DC_RUN_NONE,				/* there is no run to work on */
	DC_RUN_LEADER,				/* make the plan first */
	DC_RUN_HELPER				/* take tasks */
} DcRunRole;

extern Size dc_run_shmem_size(void);
extern void dc_run_shmem_init(void *place);
extern void dc_run_attach(void *place);

/* for who wants a run */
extern bool dc_run_is_room(void);
extern bool dc_run_request(const DcRunRequest *request);
extern bool dc_run_progress(int64 id, DcRunProgress *progress);
extern int	dc_run_list(DcRunProgress *list, int capacity);
extern bool dc_run_of_job_exists(Oid database, int64 job);
extern void dc_run_cancel(int64 id);
extern void dc_run_wait(int64 id, long timeout_ms);
extern int	dc_run_max(void);

/* for workers */
extern DcRunRole dc_run_join(DcRunRequest *request);
extern void dc_run_set_plan(const DcRunPlan *plan);
extern void dc_run_get_plan(DcRunPlan *plan);
extern bool dc_run_next_task(int *task);
extern bool dc_run_is_cancelled(void);
extern void dc_run_count(int64 warmed, int64 already_current, int64 failed);
extern void dc_run_put_off(int entries);
extern void dc_run_set_error(const char *message);
extern bool dc_run_leave(bool failed, DcRunProgress *final);
extern void dc_run_end(void);

/* for the launcher, and for who drops what runs are of */
extern int	dc_run_useful_workers(Oid database);
extern void dc_run_forget(Oid database);

#endif							/* DASHCACHE_RUN_H */
