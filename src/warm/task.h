/*-------------------------------------------------------------------------
 *
 * task.h
 *		A piece of a worker's work.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_TASK_H
#define DASHCACHE_TASK_H

#include "postgres.h"

/* Runs in a transaction, with an active snapshot; may throw. */
typedef void (*DcTask) (void *arg);

extern bool dc_task_run(DcTask task, void *arg, char **error, bool *transient);
extern char *dc_task_attempt(DcTask task, void *arg, const char *what);
extern void dc_task_interrupts(void);
extern void dc_worker_begin(void);
extern bool dc_worker_should_end(void);

#endif							/* DASHCACHE_TASK_H */
