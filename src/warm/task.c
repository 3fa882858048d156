/*-------------------------------------------------------------------------
 *
 * task.c
 *		A piece of a worker's work.
 *
 * Each is done in a transaction of its own, so that no snapshot is older than
 * it must be, and one that fails stops no other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "warm/task.h"

#include "attempt.h"
#include "guc.h"
#include "warm/pool.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/lock.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* So long a worker works for one database while others wait. */
#define SHARE_US (10 * USECS_PER_SEC)

static TimestampTz working_since;

/* Is it worth trying again? */
static bool
may_pass(int sqlerrcode)
{
	return ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_TRANSACTION_ROLLBACK ||
		ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_INSUFFICIENT_RESOURCES ||
		sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
}

/*
 * Obey who ends this process.  Outside a transaction there is nothing to cancel:
 * to do so would end it, too.
 */
void
dc_task_interrupts(void)
{
	HOLD_CANCEL_INTERRUPTS();
	QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	RESUME_CANCEL_INTERRUPTS();
}

/* What fails may do so again and again: once a minute is enough. */
static bool
may_log(void)
{
	static TimestampTz logged_at = DT_NOBEGIN;
	TimestampTz now = GetCurrentTimestamp();

	if (logged_at >= now - USECS_PER_MINUTE)
		return false;
	logged_at = now;
	return true;
}

/*
 * Do something in a transaction of its own.  False if it has failed, with the
 * message in *error, in the current memory context, and in *transient whether
 * it may pass.  What fails is logged once a minute at most: a widget that fails
 * does so for every tenant.
 */
bool
dc_task_run(DcTask task, void *arg, char **error, bool *transient)
{
	MemoryContext caller = CurrentMemoryContext;
	volatile bool done = false;

	dc_task_interrupts();
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PG_TRY();
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		task(arg);
		PopActiveSnapshot();
		CommitTransactionCommand();
		done = true;
	}
	PG_CATCH();
	{
		ErrorData  *data;

		MemoryContextSwitchTo(caller);
		data = CopyErrorData();
		*error = data->message;
		*transient = may_pass(data->sqlerrcode);
		HOLD_INTERRUPTS();
		if (may_log())
			EmitErrorReport();
		FlushErrorState();
		AbortCurrentTransaction();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	/* a query may have taken some for the session */
	LockReleaseSession(USER_LOCKMETHOD);
	MemoryContextSwitchTo(caller);
	pgstat_report_stat(false);
	return done;
}

/*
 * Do one of several things in the transaction that is open, so that it stops
 * none of the others by failing.  Returns NULL, or the message if it has failed;
 * "what" it was is then logged, once a minute at most.
 */
char *
dc_task_attempt(DcTask task, void *arg, const char *what)
{
	ErrorData  *error = dc_attempt(task, arg);

	if (error == NULL)
		return NULL;
	/* that is meant for all of it */
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(error);
	if (may_log())
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("dashcache could not %s: %s", what, error->message),
				 error->context != NULL ? errcontext("%s", error->context) : 0));
	return error->message;
}

/* Note that this process begins to work. */
void
dc_worker_begin(void)
{
	working_since = GetCurrentTimestamp();
}

/*
 * Is this worker to end, although there is work left?  When other databases
 * wait for a worker, and this one has had its share; and when there are to be
 * fewer, in which case the launcher starts those that may be.
 */
bool
dc_worker_should_end(void)
{
	if (dc_pool_count() > dc_workers)
		return true;
	return dc_pool_others_wait() == DC_WAIT_FOR_SHARE &&
		GetCurrentTimestamp() - working_since > SHARE_US;
}
