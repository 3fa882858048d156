/*-------------------------------------------------------------------------
 *
 * dashcache.c
 *		The entry point: settings, hooks and callbacks, all in one place.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "api/define.h"
#include "consistency/own.h"
#include "consistency/writer.h"
#include "guc.h"
#include "shmem.h"
#include "widget/metacache.h"
#include "widget/watched.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

static shmem_request_hook_type previous_shmem_request = NULL;
static shmem_startup_hook_type previous_shmem_startup = NULL;

static void
shmem_request(void)
{
	if (previous_shmem_request)
		previous_shmem_request();
	dc_shmem_request();
}

static void
shmem_startup(void)
{
	if (previous_shmem_startup)
		previous_shmem_startup();
	dc_shmem_startup();
}

/* The ends of a transaction, in the order in which they have to be told. */
static void
at_xact(XactEvent event, void *arg)
{
	dc_writer_at_xact(event);
	dc_own_at_xact(event);
	dc_define_at_xact(event);
	dc_metacache_at_xact(event);
	dc_watched_at_xact(event);
}

static void
at_subxact(SubXactEvent event, SubTransactionId own, SubTransactionId parent,
		   void *arg)
{
	dc_writer_at_subxact(event);
	dc_define_at_subxact(event);
}

/*
 * Module load.  Under shared_preload_libraries the shared memory is reserved;
 * else everything works without it, computing each answer.
 */
void
_PG_init(void)
{
	dc_guc_define(process_shared_preload_libraries_in_progress);
	dc_metacache_init();
	RegisterXactCallback(at_xact, NULL);
	RegisterSubXactCallback(at_subxact, NULL);

	if (process_shared_preload_libraries_in_progress)
	{
		previous_shmem_request = shmem_request_hook;
		shmem_request_hook = shmem_request;
		previous_shmem_startup = shmem_startup_hook;
		shmem_startup_hook = shmem_startup;
	}
}
