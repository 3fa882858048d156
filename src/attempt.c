/*-------------------------------------------------------------------------
 *
 * attempt.c
 *		Doing what may fail.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "attempt.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/*
 * Do something in a subtransaction, which undoes what it holds, should it fail.
 * Returns the error, in the current memory context, or NULL.  All errors are
 * caught: it is for the caller to throw those again that it must not swallow.
 */
ErrorData *
dc_attempt(DcAttempt work, void *arg)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		work(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		/* first of all the subtransaction ends, lest a caller end it */
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	return error;
}

/*
 * The same with a query's text, to see whether it is valid: what is no fault of
 * the query is thrown again.
 */
ErrorData *
dc_attempt_query(DcAttempt work, void *arg)
{
	ErrorData  *error = dc_attempt(work, arg);

	if (error != NULL &&
		(error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
		 error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED ||
		 error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		 error->sqlerrcode == ERRCODE_STATEMENT_TOO_COMPLEX ||
		 error->sqlerrcode == ERRCODE_OUT_OF_MEMORY))
		ReThrowError(error);
	return error;
}
