/*-------------------------------------------------------------------------
 *
 * refresh_queue.h
 *		Entries that somebody should compute anew.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_REFRESH_QUEUE_H
#define DASHCACHE_REFRESH_QUEUE_H

#include "postgres.h"

/* Which entry: all those of the widget's version with that hash (store.h). */
typedef struct DcRefreshRequest
{
	Oid			database;
	uint32		widget;
	uint64		version;
	uint32		hash;
} DcRefreshRequest;

/*
 * Called, with no lock held, after a request was added for a database; set by
 * who answers requests.  Throws nothing.
 */
extern void (*dc_refresh_wakeup) (Oid database);

extern Size dc_refresh_queue_shmem_size(void);
extern void dc_refresh_queue_shmem_init(void *place);
extern void dc_refresh_queue_attach(void *place);

extern bool dc_refresh_queue_push(const DcRefreshRequest *request);
extern bool dc_refresh_queue_pop(Oid database, DcRefreshRequest *request);
extern Oid	dc_refresh_queue_database(void);
extern void dc_refresh_queue_forget(Oid database);

#endif							/* DASHCACHE_REFRESH_QUEUE_H */
