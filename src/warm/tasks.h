/*-------------------------------------------------------------------------
 *
 * tasks.h
 *		What workers do: one piece of work at a time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_TASKS_H
#define DASHCACHE_TASKS_H

#include "postgres.h"

/* Runs in a transaction, with an active snapshot; may throw. */
typedef void (*DcTask) (void *arg);

extern bool dc_task_run(DcTask task, void *arg, char **error, bool *transient);
extern void dc_task_interrupts(void);
extern void dc_task_join_run(void (*between) (void));
extern void dc_worker_begin(void);
extern bool dc_worker_should_end(void);

#endif							/* DASHCACHE_TASKS_H */
