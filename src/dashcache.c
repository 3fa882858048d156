/*-------------------------------------------------------------------------
 *
 * dashcache.c
 *		The entry point: settings, hooks and callbacks, all in one place.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "api/define.h"
#include "api/roles.h"
#include "api/unwatched_ddl.h"
#include "consistency/own.h"
#include "consistency/validity.h"
#include "consistency/writer.h"
#include "guc.h"
#include "hit_path.h"
#include "shmem.h"
#include "store/refresh_queue.h"
#include "store/store.h"
#include "demand.h"
#include "warm/launcher.h"
#include "warm/utility.h"
#include "widget/definers.h"
#include "widget/metacache.h"
#include "widget/watched.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "tcop/utility.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

static shmem_request_hook_type previous_shmem_request = NULL;
static shmem_startup_hook_type previous_shmem_startup = NULL;
static ProcessUtility_hook_type previous_process_utility = NULL;

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
static DC_HIT_PATH void
at_xact(XactEvent event, void *arg)
{
	dc_writer_at_xact(event);
	dc_own_at_xact(event);
	dc_define_at_xact(event);
	dc_definers_at_xact(event);
	dc_metacache_at_xact(event);
	dc_watched_at_xact(event);
	dc_utility_at_xact(event);
	dc_demand_at_xact(event);
}

static void
at_subxact(SubXactEvent event, SubTransactionId own, SubTransactionId parent,
		   void *arg)
{
	dc_writer_at_subxact(event);
	dc_define_at_subxact(event);
	dc_utility_at_subxact(event);
}

static void
wake_for_refresh(Oid database)
{
	(void) dc_demand(database, DC_DEMAND_REFRESH);
}

static bool
is_current(const DcSharedEntry *entry)
{
	return dc_proof_is_latest(DC_ENTRY_PROOF(entry), DC_ENTRY_DEPENDENCIES(entry));
}

static void
process_utility(PlannedStmt *pstmt, const char *query_string, bool read_only,
				ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment *environment, DestReceiver *receiver,
				QueryCompletion *completion)
{
	ProcessUtility_hook_type next = previous_process_utility ?
	previous_process_utility : standard_ProcessUtility;
	Node	   *statement = pstmt->utilityStmt;

	/* a command that ends the transaction takes its parse tree along */
	bool		reassigns = IsA(statement, ReassignOwnedStmt);
	bool		unwatched = dc_unwatched_ddl(statement);

	if (!dc_utility_begins(statement))
	{
		next(pstmt, query_string, read_only, context, params, environment,
			 receiver, completion);
		if (reassigns)
			dc_roles_reassigned(statement);
		if (unwatched)
			dc_unwatched_ddl_done();
		return;
	}
	PG_TRY();
	{
		next(pstmt, query_string, read_only, context, params, environment,
			 receiver, completion);
	}
	PG_FINALLY();
	{
		dc_utility_ends();
	}
	PG_END_TRY();
	if (unwatched)
		dc_unwatched_ddl_done();
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
		previous_process_utility = ProcessUtility_hook;
		ProcessUtility_hook = process_utility;
		dc_refresh_wakeup = wake_for_refresh;
		dc_store_is_current = is_current;
		dc_launcher_register();
	}
}
